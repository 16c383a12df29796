//! What other replicas cost: a SET of 64 bytes where there are none, where there are some, and one that comes from another.
//! `cargo run --release -p engine --example replicas [KEYS]`

#![allow(clippy::print_stdout, reason = "it is a program")]

use std::error::Error;
use std::sync::Arc;

use effect::{Deadline, Dot, Op, Vector};
use engine::{Engine, Lock, Options, Received, Recycled};

const NOW_MS: i64 = 1_700_000_000_000;
const ROUNDS: usize = 5;
/// Commands between two moments at which something becomes stable, as with 10 ms at full speed.
const SETTLE: u64 = 10_000;

fn open(id: u8) -> Result<(Engine, tempfile::TempDir), Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    let mut entropy = [7; 22];
    entropy[5] = id;
    Ok((Engine::open(dir.path(), Options::new(Arc::new(|| NOW_MS), entropy))?, dir))
}

/// Nanoseconds for which this thread has had a processor: others use the machine, too.
fn busy() -> Result<f64, Box<dyn Error>> {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    Ok(told.split(' ').next().ok_or("no figure")?.parse()?)
}

/// Nanoseconds for each key.
fn set_all(engine: &Engine, keys: u64, value: u8) -> Result<f64, Box<dyn Error>> {
    let (mut recycled, began) = (Recycled::new(), busy()?);
    for n in 0..keys {
        let key = format!("key:{n:012}");
        let mut context = engine.context(Lock::Key(key.as_bytes(), None), 0, NOW_MS, &mut recycled);
        context.out.emit(key.as_bytes(), false, Op::Set { value: &[value; 64], deadline: Deadline::Clear });
        context.commit()?;
        if n.is_multiple_of(SETTLE) {
            let mut stable = engine.vector();
            let last = stable.get(engine.origin());
            stable.remove(engine.origin());
            stable.add(Dot { origin: engine.origin(), seq: last.saturating_sub(SETTLE) });
            engine.note_stable(&stable, None);
            engine.log().write_out()?;
        }
    }
    Ok((busy()? - began) / keys as f64)
}

/// The same for what the other takes in, all that is new; bytes of it as well.
fn receive_all(from: &Engine, to: &Engine, known: &Vector) -> Result<(f64, f64), Box<dyn Error>> {
    from.log().write_out()?;
    let (mut feeder, mut records) = (from.feed(known.clone(), true)?, Vec::new());
    while let Some(fed) = feeder.next_record()? {
        records.push(fed);
    }
    let bytes: usize = records.iter().map(|fed| fed.record.len()).sum();
    let (mut effects, mut settled, began) = (0_u64, 0, busy()?);
    for fed in &records {
        effects += fed.next_seq - fed.first.seq;
        while let Received::Part(_) = to.receive_record(&fed.record, &fed.context)? {}
        if effects >= settled + SETTLE {
            settled = effects;
            let mut stable = fed.context.clone();
            stable.add(Dot { seq: fed.first.seq.saturating_sub(SETTLE), ..fed.first });
            to.note_stable(&stable, None);
            to.log().write_out()?;
        }
    }
    Ok(((busy()? - began) / effects.max(1) as f64, bytes as f64 / effects.max(1) as f64))
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

fn main() -> Result<(), Box<dyn Error>> {
    let keys = std::env::args().nth(1).map_or(Ok(300_000), |keys| keys.parse())?;
    let ((alone, _a), (here, _b), (there, _c)) = (open(1)?, open(2)?, open(3)?);
    here.set_replicating(true)?;
    there.set_replicating(true)?;
    let (mut single, mut own, mut others, mut bytes) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for round in 0..=ROUNDS {
        let known = here.vector();
        let figures = (set_all(&alone, keys, round as u8)?, set_all(&here, keys, round as u8)?);
        let received = receive_all(&here, &there, &known)?;
        // The first fills the tables.
        if round > 0 {
            single.push(figures.0);
            own.push(figures.1);
            others.push(received.0);
            bytes.push(received.1);
        }
    }
    let (single, own, others) = (median(single), median(own), median(others));
    println!("{keys} keys, SET of 64 bytes, ns of processor time, medians of {ROUNDS} rounds");
    println!("no other replica       {single:8.0}");
    println!("others, own effects    {own:8.0}  {:.2}", own / single);
    println!("others, their effects  {others:8.0}  {:.2}", others / single);
    println!("bytes of log an effect {:8.0}", median(bytes));
    Ok(())
}
