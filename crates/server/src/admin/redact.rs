//! Arguments that hold passwords: whoever looks on, in MONITOR or in the slow log, does not get to see them.

use command::{Run, Spec, parse};
use resp::Args;

/// What stands in place of a password.
const HIDDEN: &[u8] = b"(redacted)";

/// The words of a command as others may see them.
///
/// `DIFFERENCE:` Redis hides the password of an AUTH, a HELLO or a CONFIG SET only once it has understood the command; here
/// it is hidden in one that is refused too.
pub fn shown<'a>(spec: &'static Spec, args: &Args<'a>) -> Vec<&'a [u8]> {
    let mut words: Vec<&[u8]> = args.iter().collect();
    match spec.name {
        "auth" => hide(&mut words, 1..args.len()),
        "hello" => hide_of_hello(&mut words),
        // The subcommand of CONFIG: SET itself is about a key.
        "set" if matches!(spec.run, Run::Session) => hide_of_config(&mut words),
        _ => {}
    }
    words
}

fn hide(words: &mut [&[u8]], which: std::ops::Range<usize>) {
    let end = which.end.min(words.len());
    words.get_mut(which.start..end).into_iter().flatten().for_each(|word| *word = HIDDEN);
}

/// AUTH is followed by a user and a password, SETNAME by a name.
fn hide_of_hello(words: &mut [&[u8]]) {
    let mut at = 1;
    while let Some(word) = words.get(at) {
        let values = match () {
            () if parse::is(word, "AUTH") => {
                hide(words, at + 1..at + 3);
                2
            }
            () if parse::is(word, "SETNAME") => 1,
            () => 0,
        };
        at += 1 + values;
    }
}

/// Directives and values take turns. If one has no value, nobody knows which is which.
fn hide_of_config(words: &mut [&[u8]]) {
    let in_pairs = words.len().is_multiple_of(2);
    let mut at = 2;
    while let Some(word) = words.get(at) {
        let is_secret = crate::config::find_directive(word).is_some_and(|directive| directive.secret);
        match (is_secret, in_pairs) {
            (true, true) => hide(words, at + 1..at + 2),
            (true, false) => return hide(words, at + 1..words.len()),
            (false, _) => {}
        }
        at += if in_pairs { 2 } else { 1 };
    }
}

#[cfg(test)]
mod tests {
    use command::table;

    use super::*;

    fn after(line: &str) -> String {
        let args = resp::split_line(line.as_bytes()).unwrap();
        let (mut spec, _) = table::find_with_id(&args.as_args()[0]).unwrap();
        if let Some(sub) = args.as_args().get(1).and_then(|name| table::find_sub(spec, name)) {
            spec = sub;
        }
        let words = shown(spec, &args.as_args());
        words.iter().map(|word| String::from_utf8_lossy(word)).collect::<Vec<_>>().join(" ").replace("(redacted)", "*")
    }

    #[test]
    fn passwords_are_hidden_and_nothing_else_is() {
        for (line, seen) in [
            ("AUTH x", "AUTH *"),
            ("auth default x", "auth * *"),
            ("AUTH a b c", "AUTH * * *"),
            ("HELLO 2 AUTH default x", "HELLO 2 AUTH * *"),
            ("HELLO 9 setname AUTH auth default x", "HELLO 9 setname AUTH auth * *"),
            ("HELLO 2 AUTH x", "HELLO 2 AUTH *"),
            ("HELLO 3 SETNAME me", "HELLO 3 SETNAME me"),
            ("CONFIG SET requirepass a maxmemory 1 MasterAuth b", "CONFIG SET requirepass * maxmemory 1 MasterAuth *"),
            ("CONFIG SET primaryauth a tls-key-file-pass b", "CONFIG SET primaryauth * tls-key-file-pass *"),
            ("CONFIG SET tls-client-key-file-pass b", "CONFIG SET tls-client-key-file-pass *"),
            ("CONFIG SET maxmemory requirepass hz 1", "CONFIG SET maxmemory requirepass hz 1"),
            ("CONFIG SET hz requirepass a b c", "CONFIG SET hz requirepass * * *"),
            ("CONFIG GET requirepass", "CONFIG GET requirepass"),
            ("SET requirepass a", "SET requirepass a"),
        ] {
            assert_eq!(after(line), seen);
        }
    }
}
