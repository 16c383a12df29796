//! One request: what is sent where, and what the answer means.

use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{
    CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER,
};
use reqwest::{Certificate, Method, RequestBuilder, Response, StatusCode, redirect};
use tokio::time::timeout;
use url::Url;

use super::super::runner::Runner;
use super::super::{Error, Result};
use super::HttpOptions;
use super::retry::{self, Failure, Fate, Pace, Repeat};
use crate::limits::MOST_ERROR_BYTES;

/// Which server a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Endpoint {
    Upload,
    Read,
}

/// The service, as seen from here.
pub(super) struct Client {
    pub(super) options: HttpOptions,
    pub(super) pace: Arc<dyn Pace>,
    upload: Url,
    read: Url,
    key: Option<(HeaderName, HeaderValue)>,
    http: reqwest::Client,
    runner: Runner,
}

/// The range that an answer holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) start: u64,
    /// Bytes of the whole object.
    pub(super) size: u64,
}

impl Client {
    pub(super) fn new(options: HttpOptions, pace: Arc<dyn Pace>) -> Result<Self> {
        let bad = |what: &str| Error::Settings(what.to_owned());
        let upload = endpoint(&options.upload)?;
        let read = options.read.as_deref().map_or_else(|| Ok(upload.clone()), endpoint)?;
        let key = options.key.as_ref().map(|key| {
            let header = HeaderName::from_bytes(options.key_header.as_bytes());
            let mut value = HeaderValue::from_str(key.reveal()).map_err(|_| bad("the access key cannot be sent"))?;
            value.set_sensitive(true);
            Ok::<_, Error>((header.map_err(|_| bad("the header of the access key is none"))?, value))
        });
        let mut builder = reqwest::Client::builder()
            .redirect(redirect::Policy::none())
            .connect_timeout(options.connect_timeout)
            .http1_only();
        for pem in &options.roots_pem {
            let root = Certificate::from_pem(pem).map_err(|_| bad("a root certificate is not in PEM"))?;
            builder = builder.tls_certs_merge([root]);
        }
        let http = builder.build().map_err(|e| Error::Settings(chain(&e)))?;
        Ok(Self { key: key.transpose()?, options, pace, upload, read, http, runner: Runner::new()? })
    }

    /// Runs attempts of an operation, each on the hidden thread, with pauses on the calling one.
    pub(super) fn repeat<T>(
        &self,
        name: &str,
        repeat: Repeat,
        attempt: impl AsyncFn() -> Result<T, Failure>,
    ) -> Result<T> {
        retry::run(name, &self.options.retry, &*self.pace, repeat, || self.runner.run(attempt()))
    }

    /// Runs one piece of work on the hidden thread.
    pub(super) fn run<T>(&self, work: impl Future<Output = T>) -> T {
        self.runner.run(work)
    }

    pub(super) fn request(&self, method: Method, to: Endpoint, path: &str) -> Result<RequestBuilder> {
        let base = if to == Endpoint::Upload { &self.upload } else { &self.read };
        let mut url = base.clone();
        url.set_path(&format!("{}/{path}", base.path().trim_end_matches('/')));
        let mut request = self.http.request(method, url);
        let home = base.origin() == self.upload.origin();
        if let Some((header, value)) = &self.key
            && (home || self.options.key_for_reading)
        {
            request = request.header(header, value);
        }
        Ok(request)
    }

    /// Sends a request without a body, and gives the answer if it is one of success.
    pub(super) async fn send(&self, name: &str, request: RequestBuilder) -> Result<Response, Failure> {
        self.send_within(name, request, self.options.idle_timeout).await
    }

    /// Sends a request with a body of `size` bytes, and waits for the end of an answer that does not matter.
    pub(super) async fn finish(&self, name: &str, request: RequestBuilder, size: u64) -> Result<(), Failure> {
        let seconds = size / self.options.least_rate.max(1);
        let within = self.options.idle_timeout.saturating_add(Duration::from_secs(seconds));
        let mut response = self.send_within(name, request, within).await?;
        // Read, so that the connection can be used again; if it is long, it cannot.
        let _ = self.read(name, &mut response, MOST_ERROR_BYTES).await;
        Ok(())
    }

    async fn send_within(&self, name: &str, request: RequestBuilder, time: Duration) -> Result<Response, Failure> {
        let mut response = match timeout(time, request.send()).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => return Err(transport(name, &error)),
            Err(_) => return Err(may_be_done(name, "no answer in time", None)),
        };
        if response.status().is_success() {
            return match response.headers().get(CONTENT_ENCODING) {
                Some(encoding) if encoding != "identity" => {
                    Err(Error::protocol(name, "content in an encoding that was not asked for").into())
                }
                _ => Ok(response),
            };
        }
        let text = self.read(name, &mut response, MOST_ERROR_BYTES).await.unwrap_or_default();
        Err(refusal(name, response.status(), response.headers(), &text))
    }

    /// The whole body of an answer, which may have `most` bytes.
    pub(super) async fn read(&self, name: &str, response: &mut Response, most: usize) -> Result<Vec<u8>, Failure> {
        let mut bytes = Vec::new();
        while let Some(chunk) = self.chunk(name, response).await? {
            if bytes.len() + chunk.len() > most {
                return Err(Error::TooLarge { name: name.to_owned(), limit: most as u64 }.into());
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    }

    /// The next piece of an answer's body.
    pub(super) async fn chunk(&self, name: &str, response: &mut Response) -> Result<Option<bytes::Bytes>, Failure> {
        match timeout(self.options.idle_timeout, response.chunk()).await {
            Ok(Ok(chunk)) => Ok(chunk),
            Ok(Err(error)) => Err(transport(name, &error)),
            Err(_) => Err(may_be_done(name, "nothing came for too long", None)),
        }
    }
}

fn endpoint(text: &str) -> Result<Url> {
    let url = Url::parse(text).map_err(|e| Error::Settings(format!("\"{text}\" is no URL: {e}")))?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(Error::Settings(format!("\"{text}\" is no URL of HTTP")));
    }
    if url.query().is_some() || url.fragment().is_some() || !url.username().is_empty() || url.password().is_some() {
        return Err(Error::Settings("the URL of a service has no query, fragment, user or password".to_owned()));
    }
    Ok(url)
}

fn may_be_done(name: &str, why: impl Into<String>, wish: Option<Duration>) -> Failure {
    let error = Error::Unavailable { name: name.to_owned(), attempts: 1, why: why.into() };
    Failure { error, fate: Fate::MayBeDone(wish) }
}

/// What an error below HTTP means.
fn transport(name: &str, error: &reqwest::Error) -> Failure {
    let mut failure = may_be_done(name, chain(error), None);
    if error.is_connect() {
        failure.fate = Fate::NotDone(None);
    } else if error.is_builder() {
        failure.fate = Fate::Final;
    }
    failure
}

/// An error with its causes, for which the library's own text only names the URL.
fn chain(error: &reqwest::Error) -> String {
    let mut text = String::new();
    let mut next: Option<&dyn std::error::Error> = Some(error);
    while let Some(error) = next {
        if !text.is_empty() {
            text.push_str(": ");
        }
        text.push_str(&error.to_string());
        next = error.source();
    }
    text.chars().take(MOST_ERROR_BYTES).collect()
}

/// What an answer means that is none of success.
fn refusal(name: &str, status: StatusCode, headers: &HeaderMap, text: &[u8]) -> Failure {
    let shown: String = String::from_utf8_lossy(text).chars().filter(|c| !c.is_control()).collect();
    let why = if shown.is_empty() { status.to_string() } else { format!("{status}: {shown}") };
    let owned = name.to_owned();
    // A date instead of seconds is not understood, and the own pause is used.
    let wish = headers.get(RETRY_AFTER).and_then(|v| v.to_str().ok()).and_then(|v| v.trim().parse().ok());
    let wish = wish.map(Duration::from_secs);
    match status.as_u16() {
        404 | 410 => Error::NotFound { name: owned }.into(),
        409 | 412 => Error::Changed { name: owned }.into(),
        401 | 403 => Error::Denied { name: owned, why }.into(),
        416 => Error::BadRange { name: owned, start: 0, end: 0, size: None }.into(),
        413 => Error::Protocol { name: owned, what: why }.into(),
        429 => {
            let error = Error::Unavailable { name: owned, attempts: 1, why };
            Failure { error, fate: Fate::NotDone(wish) }
        }
        408 | 500 | 502 | 503 | 504 => may_be_done(name, why, wish),
        _ => Error::Protocol { name: owned, what: why }.into(),
    }
}

/// How long the object is, by the answer that holds all of it, or to `HEAD`.
pub(super) fn length(name: &str, response: &Response) -> Result<u64, Failure> {
    let value = response.headers().get(CONTENT_LENGTH).and_then(|v| v.to_str().ok()).and_then(|v| v.parse().ok());
    value.ok_or_else(|| Error::protocol(name, "an answer that does not say how long the object is").into())
}

/// Which range an answer holds.
pub(super) fn part(name: &str, response: &Response) -> Result<Part, Failure> {
    let range = response.headers().get(CONTENT_RANGE).and_then(|v| v.to_str().ok());
    let part = range.filter(|_| response.status() == StatusCode::PARTIAL_CONTENT).and_then(parse_range);
    part.ok_or_else(|| Error::protocol(name, "an answer that is not the range that was asked for").into())
}

/// `bytes 5-9/10`.
fn parse_range(value: &str) -> Option<Part> {
    let (range, size) = value.strip_prefix("bytes ")?.split_once('/')?;
    let (start, end) = range.split_once('-')?;
    let (start, end, size): (u64, u64, u64) = (start.parse().ok()?, end.parse().ok()?, size.parse().ok()?);
    (start <= end && end < size).then_some(Part { start, size })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_parsed_or_refused() {
        assert_eq!(parse_range("bytes 5-9/10"), Some(Part { start: 5, size: 10 }));
        for bad in ["bytes 5-10/10", "bytes 6-5/10", "bytes */10", "5-9/10", "bytes 5-9/*", "bytes -9/10", ""] {
            assert_eq!(parse_range(bad), None, "{bad}");
        }
    }

    #[test]
    fn an_endpoint_is_a_url_of_http_and_holds_no_secret() {
        for good in ["http://127.0.0.1:1", "https://storage.example/zone/sub/"] {
            assert!(endpoint(good).is_ok(), "{good}");
        }
        for bad in ["", "storage.example", "ftp://a/b", "http://u:p@a/", "http://a/?k=v", "http://a/#f"] {
            assert!(endpoint(bad).is_err(), "{bad}");
        }
    }
}
