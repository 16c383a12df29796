//! Objects in memory: the model, and for tests a place where anything can go wrong.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Read};
use std::ops::{Bound, Range};

use bytes::Bytes;
use parking_lot::Mutex;

use super::{Abilities, Entry, Error, Name, Object, Result, Storage, refuse};

/// Which operation a call is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// [`Storage::put`]
    Put,
    /// [`Storage::put_new`]
    PutNew,
    /// [`Storage::put_stream`]
    PutStream,
    /// [`Storage::get`]
    Get,
    /// [`Storage::get_range`]
    GetRange,
    /// [`Storage::head`]
    Head,
    /// [`Storage::list`]
    List,
    /// [`Storage::delete`]
    Delete,
}

/// A call that may be made to fail.
#[derive(Clone, Debug)]
pub struct Call<'a> {
    /// Which operation.
    pub operation: Operation,
    /// On what; the prefix, of a listing.
    pub name: &'a str,
    /// How many calls there were before it.
    pub number: u64,
}

/// How a call fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing is done.
    Refuse,
    /// It is done, but the caller hears that it failed.
    LoseAnswer,
    /// Reading fails after so many bytes; other operations are refused.
    BreakAfter(u64),
    /// Reading gives other bytes: this one has its lowest bit turned. Other operations are refused.
    Flip(u64),
}

type Decide = Box<dyn FnMut(&Call<'_>) -> Option<Fault> + Send>;

/// Objects in memory. Every clone of the `Arc` around it sees the same.
#[derive(Default)]
pub struct Memory {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    objects: BTreeMap<Name, Bytes>,
    calls: u64,
    decide: Option<Decide>,
}

impl Memory {
    /// Without objects and faults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The names of all objects, in order.
    #[must_use]
    pub fn names(&self) -> Vec<Name> {
        self.state.lock().objects.keys().cloned().collect()
    }

    /// From now on `decide` is asked at every call whether and how it fails. It is called under a lock: it must not use
    /// this storage.
    pub fn fail_when(&self, decide: impl FnMut(&Call<'_>) -> Option<Fault> + Send + 'static) {
        self.state.lock().decide = Some(Box::new(decide));
    }

    /// From now on nothing fails.
    pub fn heal(&self) {
        self.state.lock().decide = None;
    }

    /// How many calls there were.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.state.lock().calls
    }

    /// Does something that is done or fails as was decided.
    fn call<T>(
        &self,
        operation: Operation,
        name: &str,
        run: impl FnOnce(&mut State, Option<Fault>) -> Result<T>,
    ) -> Result<T> {
        let mut state = self.state.lock();
        let call = Call { operation, name, number: state.calls };
        let fault = state.decide.as_mut().and_then(|decide| decide(&call));
        state.calls += 1;
        let failed = |why: &str| Error::Unavailable { name: name.to_owned(), attempts: 1, why: why.to_owned() };
        match fault {
            Some(Fault::LoseAnswer) => {
                run(&mut state, None)?;
                match operation {
                    Operation::PutNew => Err(Error::Unsure { name: name.to_owned(), why: "a fault on demand".into() }),
                    _ => Err(failed("its answer was lost, on demand")),
                }
            }
            Some(Fault::BreakAfter(_) | Fault::Flip(_)) if operation == Operation::Get => run(&mut state, fault),
            Some(_) => Err(failed("a fault on demand")),
            None => run(&mut state, None),
        }
    }
}

impl State {
    fn put(&mut self, name: &Name, bytes: Bytes) -> Result<()> {
        let above = name.as_str().match_indices('/').any(|(at, _)| self.objects.contains_key(&name.as_str()[..at]));
        let below = format!("{name}/");
        let next = self.objects.range::<str, _>((Bound::Included(below.as_str()), Bound::Unbounded)).next();
        if above || next.is_some_and(|(n, _)| n.as_str().starts_with(&below)) {
            return Err(Error::NameClash { name: name.to_string() });
        }
        self.objects.insert(name.clone(), bytes);
        Ok(())
    }

    fn get(&self, name: &Name) -> Result<Bytes> {
        self.objects.get(name).cloned().ok_or_else(|| Error::not_found(name.as_str()))
    }
}

impl Storage for Memory {
    fn put(&self, name: &Name, bytes: &[u8]) -> Result<()> {
        refuse::whole(name, bytes)?;
        self.call(Operation::Put, name.as_str(), |state, _| state.put(name, Bytes::copy_from_slice(bytes)))
    }

    fn put_new(&self, name: &Name, bytes: &[u8]) -> Result<()> {
        refuse::whole(name, bytes)?;
        self.call(Operation::PutNew, name.as_str(), |state, _| {
            if state.objects.contains_key(name) {
                return Err(Error::AlreadyExists { name: name.to_string() });
            }
            state.put(name, Bytes::copy_from_slice(bytes))
        })
    }

    fn put_stream(&self, name: &Name, from: &mut dyn Read) -> Result<u64> {
        let mut bytes = Vec::new();
        from.read_to_end(&mut bytes).map_err(Error::source)?;
        let size = bytes.len() as u64;
        self.call(Operation::PutStream, name.as_str(), |state, _| state.put(name, bytes.into()))?;
        Ok(size)
    }

    fn get(&self, name: &Name, from: u64) -> Result<Object> {
        self.call(Operation::Get, name.as_str(), |state, fault| {
            let bytes = state.get(name)?;
            let size = bytes.len() as u64;
            refuse::start(name, from, size)?;
            let body = Body { bytes, at: from as usize, fault, name: name.to_string() };
            Ok(Object::new(name, size, from, Box::new(body)))
        })
    }

    fn get_range(&self, name: &Name, range: Range<u64>) -> Result<Vec<u8>> {
        refuse::range(name, &range)?;
        self.call(Operation::GetRange, name.as_str(), |state, _| {
            let bytes = state.get(name)?;
            refuse::beyond(name, &range, bytes.len() as u64)?;
            Ok(bytes[range.start as usize..range.end as usize].to_vec())
        })
    }

    fn head(&self, name: &Name) -> Result<Entry> {
        self.call(Operation::Head, name.as_str(), |state, _| {
            Ok(Entry { name: name.clone(), size: state.get(name)?.len() as u64 })
        })
    }

    fn list(&self, prefix: &str, after: Option<&Name>, most: usize) -> Result<Vec<Entry>> {
        self.call(Operation::List, prefix, |state, _| {
            let start = match after {
                Some(after) if after.as_str() >= prefix => Bound::Excluded(after.as_str()),
                _ => Bound::Included(prefix),
            };
            let all = state.objects.range::<str, _>((start, Bound::Unbounded));
            let here = all.take_while(|(name, _)| name.as_str().starts_with(prefix)).take(refuse::page(most));
            Ok(here.map(|(name, bytes)| Entry { name: name.clone(), size: bytes.len() as u64 }).collect())
        })
    }

    fn delete(&self, name: &Name) -> Result<()> {
        self.call(Operation::Delete, name.as_str(), |state, _| {
            state.objects.remove(name);
            Ok(())
        })
    }

    fn abilities(&self) -> Abilities {
        Abilities { put_new: true, list: true }
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Memory({} objects)", self.state.lock().objects.len())
    }
}

struct Body {
    bytes: Bytes,
    at: usize,
    fault: Option<Fault>,
    name: String,
}

impl Read for Body {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let mut end = self.bytes.len();
        if let Some(Fault::BreakAfter(most)) = self.fault {
            end = end.min(most as usize);
            if self.at >= end && end < self.bytes.len() {
                let why = "a fault on demand".to_owned();
                return Err(Error::Unavailable { name: self.name.clone(), attempts: 1, why }.into_io());
            }
        }
        let taken = into.len().min(end - self.at);
        into[..taken].copy_from_slice(&self.bytes[self.at..self.at + taken]);
        if let Some(Fault::Flip(byte)) = self.fault
            && let Some(at) = (byte as usize).checked_sub(self.at).filter(|at| *at < taken)
        {
            into[at] ^= 1;
        }
        self.at += taken;
        Ok(taken)
    }
}
