//! What a server has promised by one moment: for each connection a prefix of its acts that must be there, how far it may go, and
//! that all of them together are a state that existed.

use std::collections::HashMap;
use std::fmt::Write;
use std::path::Path;

use anyhow::{Result, ensure};

use crate::resp::Value;

use super::follow::Sent;
use super::load::{Worker, name};

/// A connection's databases after so many of its acts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Their digest.
    pub digest: u64,
    /// When the last of these acts was sent, by the clock of the load.
    pub sent: u64,
    /// When its reply was read.
    pub acked: u64,
}

/// A connection's acts in one life of a server.
#[derive(Clone, Debug)]
pub struct Course {
    /// From none of its acts on.
    steps: Vec<Step>,
    /// By act: the line of the trace at which its reply began to leave.
    left: Vec<usize>,
    /// By act: the first act that was sent only after its reply.
    windows: Vec<usize>,
}

/// By how many acts each connection's databases may be, as of one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Promise {
    sides: Vec<Side>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Side {
    /// At least so many acts.
    floor: usize,
    /// After none, after one … up to as many as may be there.
    steps: Vec<Step>,
}

/// When the reply of each act began to leave, from what left by the sockets in each run of the server.
pub fn courses(workers: &[Worker], runs: &[Vec<Sent>]) -> Result<Vec<Course>> {
    let lines = runs.iter().map(|sent| replies(sent)).collect::<Result<Vec<_>>>()?;
    workers.iter().enumerate().map(|(i, worker)| course(i, worker, &lines)).collect()
}

fn course(index: usize, worker: &Worker, lines: &[HashMap<String, Vec<usize>>]) -> Result<Course> {
    let mut state = worker.base.clone();
    let mut steps = vec![Step { digest: state.digest(), sent: 0, acked: 0 }];
    let (mut left, mut windows) = (Vec::new(), Vec::new());
    for done in &worker.done {
        done.act.apply(&mut state, done.db);
        steps.push(Step { digest: state.digest(), sent: done.sent, acked: done.acked });
        let line = lines.get(done.run).and_then(|lines| lines.get(&name(index, done.run))?.get(done.replies - 1));
        ensure!(line.is_some() || !done.answered, "a reply to {} is not in the trace", name(index, done.run));
        left.push(line.copied().filter(|_| done.answered));
        windows.push(done.window);
    }
    // An act that was kept without an answer is promised as soon as one behind it is, in the next run of the server.
    let (mut next, mut reversed) = (usize::MAX, Vec::new());
    for i in (0..left.len()).rev() {
        if left[i].is_none() && i + 1 < left.len() {
            windows[i] = windows[i + 1];
            steps[i + 1].acked = steps[i + 2].acked;
        }
        next = left[i].unwrap_or(next);
        reversed.push(next);
    }
    reversed.reverse();
    Ok(Course { steps, left: reversed, windows })
}

/// For each connection that has a name: the line at which each of its replies began to leave.
fn replies(sent: &[Sent]) -> Result<HashMap<String, Vec<usize>>> {
    let mut conns: HashMap<usize, (Vec<u8>, Option<String>, Vec<usize>)> = HashMap::new();
    for Sent { conn, begin, bytes } in sent {
        let (buffer, name, lines) = conns.entry(*conn).or_default();
        buffer.extend(bytes);
        let mut read = 0;
        while let Some((value, len)) = Value::parse(&buffer[read..])? {
            read += len;
            name.get_or_insert_with(|| value.text());
            // A reply has left when its last bytes have: those before belong to no whole reply.
            lines.push(*begin);
        }
        buffer.drain(..read);
    }
    Ok(conns.into_values().filter_map(|(_, name, lines)| Some((name?, lines))).collect())
}

impl Promise {
    /// At line `at` of the trace, with every act promised whose reply had begun to leave before line `until`.
    pub fn at(courses: &[Course], at: usize, until: usize) -> Promise {
        let sides = courses.iter().map(|course| {
            let answered = course.left.partition_point(|line| *line <= at);
            let floor = course.left.partition_point(|line| *line <= at && *line < until);
            // What was not sent cannot be there.
            let ceiling = course.windows.get(answered).copied().unwrap_or(answered);
            Side { floor, steps: course.steps[..=ceiling].to_vec() }
        });
        Promise { sides: sides.collect() }
    }

    /// How many acts must be there.
    pub fn required(&self) -> usize {
        self.sides.iter().map(|side| side.floor).sum()
    }

    /// Of the side at `index`: at least, and at most, so many acts.
    pub fn bounds(&self, index: usize) -> (usize, usize) {
        (self.sides[index].floor, self.sides[index].steps.len() - 1)
    }

    /// How many acts of each connection are there, by the digests found; or what is wrong.
    pub fn judge(&self, found: &[u64]) -> Result<Vec<usize>, Broken> {
        let mut kept = Vec::new();
        for (i, (side, digest)) in self.sides.iter().zip(found).enumerate() {
            let fits = |count: &usize| side.steps[*count].digest == *digest;
            let mut fitting = (side.floor..side.steps.len()).filter(fits);
            match fitting.next() {
                Some(least) => kept.push((least, fitting.next_back().unwrap_or(least))),
                None => return Err(Broken::Side { index: i, known: (0..side.floor).rfind(fits) }),
            }
        }
        // Where several counts would do, the one counts that accuses nobody.
        for (a, side) in self.sides.iter().enumerate() {
            for (b, other) in self.sides.iter().enumerate() {
                let latest = other.steps[..=kept[b].0].iter().map(|step| step.sent).max().unwrap_or(0);
                let due = side.steps[1..].partition_point(|step| step.acked < latest);
                if due > kept[a].1 {
                    return Err(Broken::Order { index: a, kept: kept[a].1, due, other: b });
                }
            }
        }
        Ok(kept.into_iter().map(|(_, most)| most).collect())
    }

    /// Writes it into a file.
    pub fn save(&self, path: &Path) -> Result<()> {
        let mut text = String::new();
        for side in &self.sides {
            writeln!(text, "side {}", side.floor)?;
            for Step { digest, sent, acked } in &side.steps {
                writeln!(text, "{digest} {sent} {acked}")?;
            }
        }
        Ok(std::fs::write(path, text)?)
    }

    /// Reads it back.
    pub fn load(path: &Path) -> Result<Promise> {
        let mut sides: Vec<Side> = Vec::new();
        for line in std::fs::read_to_string(path)?.lines() {
            if let Some(floor) = line.strip_prefix("side ") {
                sides.push(Side { floor: floor.parse()?, steps: Vec::new() });
                continue;
            }
            let numbers = line.split(' ').map(str::parse).collect::<Result<Vec<u64>, _>>()?;
            let (Some(side), [digest, sent, acked]) = (sides.last_mut(), &numbers[..]) else {
                anyhow::bail!("{} is no promise", path.display())
            };
            side.steps.push(Step { digest: *digest, sent: *sent, acked: *acked });
        }
        ensure!(sides.iter().all(|side| side.floor < side.steps.len()), "{} is cut off", path.display());
        Ok(Promise { sides })
    }
}

/// How a state breaks a promise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Broken {
    /// A connection's databases are as after none of the prefixes that may be; perhaps as after too short a one.
    Side { index: usize, known: Option<usize> },
    /// An act is there that was sent after others had been answered which are not.
    Order { index: usize, kept: usize, due: usize, other: usize },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn side(floor: usize, digests: &[u64]) -> Side {
        let step = |(i, digest): (usize, &u64)| Step { digest: *digest, sent: 10 * i as u64, acked: 10 * i as u64 + 5 };
        Side { floor, steps: digests.iter().enumerate().map(step).collect() }
    }

    #[test]
    fn a_prefix_between_floor_and_ceiling_is_well_and_nothing_else() {
        let promise = Promise { sides: vec![side(1, &[7, 8, 9])] };
        assert_eq!(promise.judge(&[8]), Ok(vec![1]));
        assert_eq!(promise.judge(&[9]), Ok(vec![2]));
        assert_eq!(promise.judge(&[7]), Err(Broken::Side { index: 0, known: Some(0) }));
        assert_eq!(promise.judge(&[6]), Err(Broken::Side { index: 0, known: None }));
    }

    #[test]
    fn what_was_answered_before_something_that_is_there_was_sent_must_be_there() {
        let promise = Promise { sides: vec![side(0, &[1, 2, 3]), side(0, &[4, 5, 6])] };
        assert_eq!(promise.judge(&[2, 5]), Ok(vec![1, 1]));
        // The second act of the other was sent at 20, and the first of this one answered at 15.
        assert_eq!(promise.judge(&[1, 6]), Err(Broken::Order { index: 0, kept: 0, due: 1, other: 1 }));
    }

    #[test]
    fn replies_are_counted_when_their_last_byte_leaves() {
        let sent = |begin, bytes: &[u8]| Sent { conn: 3, begin, bytes: bytes.to_vec() };
        let lines = replies(&[sent(5, b"$1\r\nw\r\n+O"), sent(9, b"K\r\n:1\r\n")]).unwrap();
        assert_eq!(lines["w"], [5, 9, 9]);
    }

    #[test]
    fn a_promise_is_read_as_it_was_written() {
        let dir = tempfile::tempdir().unwrap();
        let promise = Promise { sides: vec![side(1, &[7, 8, 9]), side(0, &[1])] };
        promise.save(&dir.path().join("p")).unwrap();
        assert_eq!(Promise::load(&dir.path().join("p")).unwrap(), promise);
    }
}
