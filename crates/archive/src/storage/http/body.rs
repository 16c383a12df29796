//! The body of an object, which goes on where it broke off.

use std::io::{self, Read};
use std::sync::Arc;

use bytes::{Buf, Bytes};
use reqwest::header::{ETAG, RANGE};
use reqwest::{Method, Response};

use super::super::{Error, Name, Result};
use super::client::{self, Client, Endpoint};
use super::retry::{Failure, Repeat};
use crate::limits::MOST_RESUMES;

pub(super) struct Body {
    client: Arc<Client>,
    name: Name,
    /// The next byte that comes.
    at: u64,
    size: u64,
    /// What tells one object from another of the same name, if the service says so.
    tag: Option<String>,
    response: Response,
    chunk: Bytes,
    resumes: u32,
}

/// The beginning of an answer: how long the object is, and what tells it from others.
struct Opened {
    response: Response,
    size: u64,
    tag: Option<String>,
}

impl Body {
    pub(super) fn open(client: &Arc<Client>, name: &Name, from: u64) -> Result<Self> {
        let Opened { response, size, tag } = request(client, name, from)?;
        let (client, name) = (Arc::clone(client), name.clone());
        Ok(Self { client, name, at: from, size, tag, response, chunk: Bytes::new(), resumes: 0 })
    }

    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// Asks for the rest, of the same object.
    fn resume(&mut self, failure: Failure) -> Result<()> {
        self.resumes += 1;
        if self.tag.is_none() || self.resumes > MOST_RESUMES {
            return Err(failure.error);
        }
        let again = request(&self.client, &self.name, self.at)?;
        if again.tag != self.tag || again.size != self.size {
            return Err(Error::Changed { name: self.name.to_string() });
        }
        self.response = again.response;
        Ok(())
    }

    fn next(&mut self) -> Result<()> {
        let name = self.name.to_string();
        loop {
            let chunk = self.client.run(self.client.chunk(&name, &mut self.response));
            let failure = match chunk {
                Ok(Some(chunk)) => {
                    self.at += chunk.len() as u64;
                    self.chunk = chunk;
                    return Ok(());
                }
                Ok(None) if self.at >= self.size => return Ok(()),
                Ok(None) => Error::Short { name: name.clone(), got: self.at, size: self.size }.into(),
                Err(failure) => failure,
            };
            self.resume(failure)?;
        }
    }
}

impl Read for Body {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.chunk.is_empty() && self.at < self.size {
            self.next().map_err(Error::into_io)?;
        }
        let taken = into.len().min(self.chunk.len());
        self.chunk.copy_to_slice(&mut into[..taken]);
        Ok(taken)
    }
}

fn request(client: &Client, name: &Name, from: u64) -> Result<Opened> {
    client.repeat(name.as_str(), Repeat::Always, async || {
        let mut request = client.request(Method::GET, Endpoint::Read, name.as_str())?;
        if from > 0 {
            request = request.header(RANGE, format!("bytes={from}-"));
        }
        let response = client.send(name.as_str(), request).await?;
        let size = if from > 0 {
            let part = client::part(name.as_str(), &response)?;
            if part.start != from {
                return Err(Error::protocol(name.as_str(), "another range than was asked for").into());
            }
            part.size
        } else {
            client::length(name.as_str(), &response)?
        };
        let tag = response.headers().get(ETAG).and_then(|v| v.to_str().ok());
        // A weak one stays the same when bytes change.
        let tag = tag.filter(|t| !t.starts_with("W/")).map(str::to_owned);
        Ok(Opened { response, size, tag })
    })
}
