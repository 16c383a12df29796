//! Random commands from the table, with mutations: wrong arity, wrong types, bad numbers, mixed case, binary arguments.

use std::collections::BTreeSet;

use anyhow::{Result, bail};

use super::pair::Step;
use super::table::{self, Node, Production};
use crate::rng::Rng;

mod atoms;

/// One in so many commands is mutated.
const MUTATE: usize = 12;
/// One in so many words that stand for themselves is written in another case.
const RECASE: usize = 10;
/// Sessions that take turns; the first speaks RESP2, the second RESP3.
pub const SESSIONS: usize = 2;

/// Makes the stream of commands. Its state is what has been said, not what was answered.
pub struct Generator {
    rng: Rng,
    table: Vec<Production>,
    names: BTreeSet<String>,
    weights: usize,
    /// Sessions in a transaction.
    multi: [bool; SESSIONS],
    /// Sessions that may be watching keys.
    watching: [bool; SESSIONS],
    turn: usize,
}

/// Commands that wait when there is nothing for them.
pub fn is_blocking(name: &[u8]) -> bool {
    let all = ["BLPOP", "BRPOP", "BLMOVE", "BRPOPLPUSH", "BLMPOP", "BZPOPMIN", "BZPOPMAX", "BZMPOP"];
    all.iter().any(|b| name.eq_ignore_ascii_case(b.as_bytes()))
}

impl Generator {
    /// Reads the table; `only` keeps the productions whose name contains it (and what a stream needs around them).
    pub fn new(seed: u64, only: Option<&str>) -> Result<Generator> {
        let mut table = table::parse(include_str!("commands.txt"))?;
        if let Some(only) = only {
            table.retain(|p| p.name().is_some_and(|n| n.contains(&only.to_uppercase())));
        }
        if table.is_empty() {
            bail!("no production is left");
        }
        let names = table.iter().filter_map(|p| p.name().map(str::to_owned)).collect();
        let weights = table.iter().map(|p| p.weight).sum();
        Ok(Generator {
            rng: Rng::new(seed),
            table,
            names,
            weights,
            multi: [false; SESSIONS],
            watching: [false; SESSIONS],
            turn: 0,
        })
    }

    /// Forgets open transactions: the next chapter has new connections.
    pub fn restart(&mut self) {
        (self.multi, self.watching) = ([false; SESSIONS], [false; SESSIONS]);
        self.turn = 0;
    }

    /// Whether the table has the command.
    pub fn knows(&self, name: &str) -> bool {
        self.names.contains(name)
    }

    /// About `n` commands for one session; the next batch is the other session's.
    pub fn batch(&mut self, n: usize) -> Vec<Step> {
        let session = self.turn % SESSIONS;
        self.turn += 1;
        // Short turns now and then, so that sessions meddle with each other's transactions.
        let n = if self.rng.one_in(3) { self.rng.between(1, 12) } else { n };
        let mut steps = Vec::new();
        while steps.len() < n {
            self.push(session, &mut steps);
        }
        steps
    }

    fn push(&mut self, session: usize, steps: &mut Vec<Step>) {
        let mut words = self.produce(session);
        let blocking = is_blocking(&words[0]);
        let mutable = (!blocking || self.multi[session]) && !words.iter().any(|w| atoms::LEXICAL.contains(&&w[..]));
        if mutable && self.rng.one_in(MUTATE) {
            self.mutate(&mut words);
        }
        // A mutation may have made a blocking command of another, or moved a timeout.
        if is_blocking(&words[0]) && !blocking && !self.multi[session] {
            return;
        }
        let name = String::from_utf8_lossy(&words[0]).to_uppercase();
        // Forms that only later versions know break the oracle's transaction, not ours.
        if matches!((name.as_str(), words.len()), ("BITCOUNT", 3) | ("ZRANK" | "ZREVRANK", 4)) && self.multi[session] {
            return;
        }
        // AGGREGATE COUNT is newer than the oracle, and what it stores would differ.
        let counts =
            |pair: &[Vec<u8>]| pair[0].eq_ignore_ascii_case(b"AGGREGATE") && pair[1].eq_ignore_ascii_case(b"COUNT");
        if words.windows(2).any(counts) || ends_during_the_run(&words) {
            return;
        }
        // Where every write of it fails Redis makes the string longer and tells nobody who watches it.
        let fails = name == "BITFIELD" && words.iter().any(|word| word.eq_ignore_ascii_case(b"FAIL"));
        if fails && (self.multi[session] || self.watching.contains(&true)) {
            return;
        }
        match name.as_str() {
            "WATCH" => self.watching[session] = true,
            "MULTI" if words.len() == 1 => self.multi[session] = true,
            // With arguments too: Redis ends a transaction whose EXEC it rejects.
            "EXEC" | "DISCARD" => (self.multi[session], self.watching[session]) = (false, false),
            _ => {}
        }
        let listing = match name.as_str() {
            "SPOP" | "SRANDMEMBER" => Some(("SMEMBERS", "")),
            "HRANDFIELD" => Some(("HGETALL", "")),
            "ZRANDMEMBER" => Some(("ZRANGE", "0 -1 WITHSCORES")),
            _ => None,
        };
        let key = words.get(1).cloned();
        let say = |words: Vec<Vec<u8>>| Step { session, words };
        if let (Some((list, rest)), Some(key)) = (listing, &key) {
            let mut all = vec![list.as_bytes().to_vec(), key.clone()];
            all.extend(rest.split_whitespace().map(|w| w.as_bytes().to_vec()));
            steps.push(say(all));
        }
        let stored = if name == "SORT" { sorted_into(&words) } else { None };
        if name == "DBSIZE" {
            steps.push(say(atoms::sweep()));
        }
        let by_member = name == "ZREMRANGEBYLEX"
            || name == "ZRANGESTORE" && words.iter().any(|word| word.eq_ignore_ascii_case(b"BYLEX"));
        let lowest_count = name == "LREM" && words.get(2).is_some_and(|count| count == b"-9223372036854775808");
        steps.push(say(words));
        // What a random pop, a sort with ties, a range by member or a removal that one of the two refuses left is not
        // the same on both sides, so it goes.
        let left = if name == "SPOP" || by_member || lowest_count { key } else { stored };
        if let Some(key) = left {
            // Whether it is still there may differ too.
            steps.push(say(vec![b"SET".to_vec(), key.clone(), b"x".to_vec()]));
            steps.push(say(vec![b"DEL".to_vec(), key]));
        }
    }

    fn produce(&mut self, session: usize) -> Vec<Vec<u8>> {
        loop {
            let mut left = self.rng.below(self.weights);
            let at = self.table.iter().position(|p| match left.checked_sub(p.weight) {
                Some(rest) => {
                    left = rest;
                    false
                }
                None => true,
            });
            let production = self.table[at.unwrap_or(0)].clone();
            if self.skip(production.name().unwrap_or_default(), session) {
                continue;
            }
            let mut words = Vec::new();
            self.emit(&production.node, session, &mut words);
            if !words.is_empty() && !words[0].is_empty() {
                return words;
            }
        }
    }

    /// EXEC outside of a transaction is an error worth seeing, but not often; so is MULTI inside. Waiting takes time.
    fn skip(&mut self, name: &str, session: usize) -> bool {
        let multi = self.multi[session];
        match name {
            "EXEC" | "DISCARD" => !multi && !self.rng.one_in(30),
            "MULTI" | "WATCH" => multi && !self.rng.one_in(30),
            _ => is_blocking(name.as_bytes()) && !multi && !self.rng.one_in(8),
        }
    }

    fn emit(&mut self, node: &Node, session: usize, out: &mut Vec<Vec<u8>>) {
        match node {
            Node::Word(word) => {
                let word = if self.rng.one_in(RECASE) { self.recase(word) } else { word.clone() };
                out.push(word.into_bytes());
            }
            Node::Atom(kind) => atoms::emit(&mut self.rng, kind, self.multi[session], out),
            Node::Seq(nodes) => nodes.iter().for_each(|n| self.emit(n, session, out)),
            Node::Alt(nodes) => {
                let one = self.rng.below(nodes.len());
                self.emit(&nodes[one], session, out);
            }
            Node::Rep(node, low, high) => {
                for _ in 0..self.rng.between(*low, *high) {
                    self.emit(node, session, out);
                }
            }
        }
    }

    fn recase(&mut self, word: &str) -> String {
        word.chars().map(|c| if self.rng.one_in(2) { c.to_ascii_lowercase() } else { c }).collect()
    }

    fn mutate(&mut self, words: &mut Vec<Vec<u8>>) {
        let last = words.len() - 1;
        let at = self.rng.below(words.len());
        let argument = if last == 0 { 0 } else { self.rng.between(1, last) };
        match self.rng.below(6) {
            0 if last > 0 => {
                words.pop();
            }
            1 if last > 0 => {
                words.remove(argument);
            }
            2 => words.insert(at.max(1), words[at].clone()),
            3 => words.push(atoms::junk(&mut self.rng)),
            4 if last > 0 => words[argument] = atoms::junk(&mut self.rng),
            5 if last > 1 => words.swap(argument, last),
            _ => {}
        }
    }
}

/// Whether a mutation made a time to live so short that one server might still have the key when the other has not.
fn ends_during_the_run(words: &[Vec<u8>]) -> bool {
    const MILLISECONDS: i64 = 1_000_000;
    let short = |word: Option<&Vec<u8>>, unit: i64| {
        let time = word.and_then(|word| std::str::from_utf8(word).ok()?.parse::<i64>().ok());
        time.is_some_and(|time| time > 0 && time < MILLISECONDS / unit)
    };
    let is = |word: &[u8], names: &[&str]| names.iter().any(|name| word.eq_ignore_ascii_case(name.as_bytes()));
    let option = |pair: &[Vec<u8>]| {
        is(&pair[0], &["EX"]) && short(Some(&pair[1]), 1000) || is(&pair[0], &["PX"]) && short(Some(&pair[1]), 1)
    };
    is(&words[0], &["SETEX", "EXPIRE"]) && short(words.get(2), 1000)
        || is(&words[0], &["PSETEX", "PEXPIRE", "RESTORE"]) && short(words.get(2), 1)
        || is(&words[0], &["SET", "GETEX"]) && words.windows(2).any(option)
}

/// Where a SORT whose order is partly open stores its result.
fn sorted_into(words: &[Vec<u8>]) -> Option<Vec<u8>> {
    let find = |word: &str| words.iter().rposition(|w| w.eq_ignore_ascii_case(word.as_bytes()));
    find("ALPHA").or(find("BY"))?;
    words.get(find("STORE")? + 1).cloned()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::Generator;

    #[test]
    fn the_stream_has_every_command_of_the_table_and_depends_on_the_seed_alone() {
        let (mut one, mut two) = (Generator::new(7, None).unwrap(), Generator::new(7, None).unwrap());
        let mut names = BTreeSet::new();
        for _ in 0..400 {
            let batch = one.batch(100);
            assert_eq!(batch, two.batch(100));
            names.extend(batch.iter().map(|s| String::from_utf8_lossy(&s.words[0]).to_uppercase()));
        }
        for name in &one.names {
            assert!(names.contains(name), "{name} never came");
        }
    }

    #[test]
    fn no_key_ends_while_the_servers_are_compared() {
        let words = |line: &str| line.split(' ').map(|word| word.as_bytes().to_vec()).collect::<Vec<_>>();
        let ends = |line: &str| super::ends_during_the_run(&words(line));
        for short in ["PSETEX k 2 v", "setex k 999 v", "SET k v KEEPTTL px 2", "GETEX k EX 1", "PEXPIRE k 999999 NX"] {
            assert!(ends(short), "{short}");
        }
        for sure in ["PSETEX k 0 v", "EXPIRE k 1000", "SET k v PX 1000000", "GETEX k EX -1", "SET k 2", "EXPIREAT k 2"]
        {
            assert!(!ends(sure), "{sure}");
        }
        let mut generator = Generator::new(5, Some("EX")).unwrap();
        assert!((0..2000).flat_map(|_| generator.batch(50)).all(|step| !super::ends_during_the_run(&step.words)));
    }

    #[test]
    fn a_blocking_command_outside_of_a_transaction_has_a_timeout_that_ends() {
        let mut generator = Generator::new(3, Some("B")).unwrap();
        let mut multi = [false; 2];
        let mut seen = 0;
        for step in (0..500).flat_map(|_| generator.batch(50)) {
            let name = String::from_utf8_lossy(&step.words[0]).to_uppercase();
            match name.as_str() {
                "MULTI" => multi[step.session] = true,
                "EXEC" | "DISCARD" => multi[step.session] = false,
                _ => {}
            }
            if super::is_blocking(name.as_bytes()) && !multi[step.session] {
                let timeout = if name.ends_with("MPOP") { &step.words[1] } else { step.words.last().unwrap() };
                let seconds: f64 = String::from_utf8_lossy(timeout).parse().unwrap_or(-1.0);
                assert!(seconds != 0.0 && seconds < 0.1, "{step}");
                seen += 1;
            }
        }
        assert!(seen > 20);
    }
}
