//! Objects of a plain HTTP service: `PUT`, `GET`, `HEAD` and `DELETE` of paths, with an access key in a header.
//!
//! Many services for static content are like this. Uploads, deletions and listings go to one endpoint; reading may go
//! to another, as of a content delivery network, which may hold on to old content: names that are written once suit it
//! best.
//!
//! | operation | request | repeated after |
//! |---|---|---|
//! | put, put_stream | `PUT` with `Content-Length` and, if wanted, the SHA-256 in `Checksum` | refusal, or anything else that may pass |
//! | put_new | the same with `If-None-Match: *`, where the service does it | 429, or no connection: when it surely was not done |
//! | get, get_range | `GET`, with `Range` | as put; broken bodies go on where they broke, if the object has a strong `ETag` |
//! | head | `HEAD` | as put |
//! | delete | `DELETE`; 404 is success | as put |
//! | list | `GET` of a folder with a slash, answered with a JSON array, where the service does it | as put |
//!
//! Redirections are not followed: the access key is for the endpoints that were named, and for no other.

mod body;
mod client;
mod listing;
mod options;
mod retry;
mod spool;

use std::fmt;
use std::io::{self, Read};
use std::ops::Range;
use std::sync::Arc;

use reqwest::Method;
use reqwest::header::{CONTENT_LENGTH, HeaderValue, IF_NONE_MATCH, RANGE};

pub use options::{AccessKey, HttpOptions, Listing};
pub use retry::{Pace, RealPace, Retry};

use self::body::Body;
use self::client::{Client, Endpoint};
use self::listing::Folder;
use self::retry::Repeat;
use self::spool::Spool;
use super::{Abilities, Entry, Error, Name, Object, Result, Storage, refuse, walk};

/// Objects of a plain HTTP service.
pub struct Http {
    client: Arc<Client>,
}

impl Http {
    /// A service with these settings. Nothing is sent yet.
    ///
    /// # Errors
    /// [`Error::Settings`] for an endpoint that is no URL of HTTP, a key that cannot stand in a header, or a
    /// certificate that is none.
    pub fn new(options: HttpOptions) -> Result<Self> {
        Ok(Self { client: Arc::new(Client::new(options, Arc::new(RealPace))?) })
    }

    /// As [`new`](Self::new), with waiting and chance handed in.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn with_pace(options: HttpOptions, pace: Arc<dyn Pace>) -> Result<Self> {
        Ok(Self { client: Arc::new(Client::new(options, pace)?) })
    }

    fn upload(&self, name: &Name, spool: &Spool, new: bool) -> Result<()> {
        let repeat = if new { Repeat::IfNotDone } else { Repeat::Always };
        let done = self.client.repeat(name.as_str(), repeat, async || {
            let mut request = self.client.request(Method::PUT, Endpoint::Upload, name.as_str())?;
            request = request.header(CONTENT_LENGTH, spool.size()).body(spool.body());
            if self.client.options.checksum {
                request = request.header("Checksum", spool.sha256());
            }
            if new {
                request = request.header(IF_NONE_MATCH, HeaderValue::from_static("*"));
            }
            self.client.finish(name.as_str(), request, spool.size()).await
        });
        match done {
            // That there is one was the condition.
            Err(Error::Changed { name }) if new => Err(Error::AlreadyExists { name }),
            done => done,
        }
    }
}

impl Storage for Http {
    fn put(&self, name: &Name, bytes: &[u8]) -> Result<()> {
        refuse::whole(name, bytes)?;
        self.upload(name, &Spool::memory(bytes.to_vec()), false)
    }

    fn put_new(&self, name: &Name, bytes: &[u8]) -> Result<()> {
        refuse::whole(name, bytes)?;
        if !self.client.options.conditional_put {
            return Err(Error::NotSupported("put an object only if there is none; say if it knows If-None-Match"));
        }
        self.upload(name, &Spool::memory(bytes.to_vec()), true)
    }

    fn put_stream(&self, name: &Name, from: &mut dyn Read) -> Result<u64> {
        let spool = Spool::fill(from)?;
        self.upload(name, &spool, false)?;
        Ok(spool.size())
    }

    fn get(&self, name: &Name, from: u64) -> Result<Object> {
        if from > 0 {
            // Where nothing is left no range can be asked for.
            let size = self.head(name)?.size;
            refuse::start(name, from, size)?;
            if from == size {
                return Ok(Object::new(name, size, from, Box::new(io::empty())));
            }
        }
        let body = Body::open(&self.client, name, from)?;
        Ok(Object::new(name, body.size(), from, Box::new(body)))
    }

    fn get_range(&self, name: &Name, range: Range<u64>) -> Result<Vec<u8>> {
        refuse::range(name, &range)?;
        let header = format!("bytes={}-{}", range.start, range.end - 1);
        let client = &self.client;
        let wanted = range.end - range.start;
        let got = client.repeat(name.as_str(), Repeat::Always, async || {
            let request = client.request(Method::GET, Endpoint::Read, name.as_str())?.header(RANGE, &header);
            let mut response = client.send(name.as_str(), request).await?;
            let part = client::part(name.as_str(), &response)?;
            let bytes = client.read(name.as_str(), &mut response, wanted as usize).await?;
            Ok((part, bytes))
        });
        let (part, bytes) = match got {
            Ok(got) => got,
            Err(Error::BadRange { .. }) => {
                refuse::beyond(name, &range, self.head(name)?.size)?;
                return Err(Error::protocol(name.as_str(), "that it does not have a range that it has"));
            }
            Err(error) => return Err(error),
        };
        refuse::beyond(name, &range, part.size)?;
        if part.start != range.start || bytes.len() as u64 != wanted {
            return Err(Error::protocol(name.as_str(), "another range than was asked for"));
        }
        Ok(bytes)
    }

    fn head(&self, name: &Name) -> Result<Entry> {
        let size = self.client.repeat(name.as_str(), Repeat::Always, async || {
            let request = self.client.request(Method::HEAD, Endpoint::Read, name.as_str())?;
            let response = self.client.send(name.as_str(), request).await?;
            client::length(name.as_str(), &response)
        })?;
        Ok(Entry { name: name.clone(), size })
    }

    fn list(&self, prefix: &str, after: Option<&Name>, most: usize) -> Result<Vec<Entry>> {
        match self.client.options.listing {
            Listing::None => Err(Error::NotSupported("list objects")),
            Listing::JsonFolders => walk::list(&Folder(&self.client), prefix, after, refuse::page(most)),
        }
    }

    fn delete(&self, name: &Name) -> Result<()> {
        let done = self.client.repeat(name.as_str(), Repeat::Always, async || {
            let request = self.client.request(Method::DELETE, Endpoint::Upload, name.as_str())?;
            self.client.finish(name.as_str(), request, 0).await
        });
        match done {
            Err(Error::NotFound { .. }) => Ok(()),
            done => done,
        }
    }

    fn abilities(&self) -> Abilities {
        let options = &self.client.options;
        Abilities { put_new: options.conditional_put, list: options.listing != Listing::None }
    }
}

impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Http({})", self.client.options.upload)
    }
}
