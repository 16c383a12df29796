//! From a URL to a storage.

use std::path::PathBuf;

use url::Url;

use super::{AccessKey, Directory, Error, Http, HttpOptions, Listing, Memory, Result, Storage};

/// What a URL does not say.
#[derive(Clone, Debug, Default)]
pub struct OpenOptions {
    /// Settings of the library `object_store` for clouds, such as `aws_endpoint`, `aws_region`, `allow_http`, `timeout`
    /// or `max_retries`; they come before the environment (`AWS_ACCESS_KEY_ID` and so on), which is read as well.
    pub settings: Vec<(String, String)>,
    /// The access key of a plain HTTP service.
    pub access_key: Option<AccessKey>,
    /// Where a plain HTTP service is read, if not where it is written.
    pub read_url: Option<String>,
    /// Whether a plain HTTP service lists.
    pub listing: Option<Listing>,
    /// Whether a plain HTTP service knows `If-None-Match: *` for `PUT`.
    pub conditional_put: bool,
}

/// Opens what a URL names:
///
/// | URL | is |
/// |---|---|
/// | `/path`, `./path`, `path`, `file:///path` | a directory, made if it is not there |
/// | `memory:` | memory, new and empty |
/// | `s3://bucket/prefix` | S3 and what speaks like it (feature `aws`, on by default) |
/// | `gs://bucket/prefix` | Google Cloud Storage (feature `gcp`) |
/// | `az://container/prefix` | Azure (feature `azure`) |
/// | `https://host/path`, `http://…` | a plain HTTP service |
///
/// # Errors
/// [`Error::Settings`] for any other URL, and for a cloud that was not built in; what opening a directory says.
pub fn open(url: &str, options: &OpenOptions) -> Result<Box<dyn Storage>> {
    let Some((scheme, rest)) = url.split_once(':').filter(|(scheme, _)| is_scheme(scheme)) else {
        return directory(url);
    };
    match scheme.to_ascii_lowercase().as_str() {
        "file" => {
            let parsed = Url::parse(url).map_err(|e| bad(url, &e.to_string()))?;
            let path = parsed.to_file_path().map_err(|()| bad(url, "it is no path of this machine"))?;
            Ok(Box::new(Directory::open(path)?))
        }
        "memory" if rest.trim_matches('/').is_empty() => Ok(Box::new(Memory::new())),
        "memory" => Err(bad(url, "memory has no path")),
        "http" | "https" => Ok(Box::new(Http::new(http(url, options))?)),
        "s3" | "s3a" | "gs" | "az" | "adl" | "azure" | "abfs" | "abfss" => cloud(url, options),
        _ => Err(bad(url, "known are paths, file, memory, s3, gs, az, http and https")),
    }
}

/// Two letters at least, so that it is not the drive of another system.
fn is_scheme(text: &str) -> bool {
    text.len() > 1 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b)) && !text.contains('/')
}

fn directory(path: &str) -> Result<Box<dyn Storage>> {
    if path.is_empty() {
        return Err(bad(path, "it is empty"));
    }
    Ok(Box::new(Directory::open(PathBuf::from(path))?))
}

fn http(url: &str, options: &OpenOptions) -> HttpOptions {
    let mut http = HttpOptions::new(url);
    http.key = options.access_key.clone();
    http.read = options.read_url.clone();
    http.listing = options.listing.unwrap_or(Listing::None);
    http.conditional_put = options.conditional_put;
    http
}

fn bad(url: &str, why: &str) -> Error {
    Error::Settings(format!("\"{url}\" names none: {why}"))
}

#[cfg(not(any(feature = "aws", feature = "gcp", feature = "azure")))]
fn cloud(url: &str, _options: &OpenOptions) -> Result<Box<dyn Storage>> {
    Err(bad(url, "this program was built without clouds"))
}

#[cfg(any(feature = "aws", feature = "gcp", feature = "azure"))]
fn cloud(url: &str, options: &OpenOptions) -> Result<Box<dyn Storage>> {
    use super::Cloud;

    let parsed = Url::parse(url).map_err(|e| bad(url, &e.to_string()))?;
    let (_, path) = object_store::ObjectStoreScheme::parse(&parsed).map_err(|e| bad(url, &e.to_string()))?;
    let build = |retries: Option<usize>| match parsed.scheme() {
        #[cfg(feature = "aws")]
        "s3" | "s3a" => vendors::s3(url, options, retries),
        #[cfg(feature = "gcp")]
        "gs" => vendors::google(url, options, retries),
        #[cfg(feature = "azure")]
        "az" | "adl" | "azure" | "abfs" | "abfss" => vendors::azure(url, options, retries),
        _ => Err(bad(url, "this program was built without that cloud")),
    };
    Ok(Box::new(Cloud::over(build(None)?, build(Some(0))?, path.as_ref())?))
}

/// One builder for each vendor; they have the same verbs but no trait in common.
#[cfg(any(feature = "aws", feature = "gcp", feature = "azure"))]
mod vendors {
    use std::sync::Arc;
    use std::time::Duration;

    use object_store::{ClientOptions, ObjectStore, RetryConfig};

    use super::{Error, OpenOptions, Result};

    /// The library's own whole timeout is too short for a part of an upload over a slow line.
    fn client() -> ClientOptions {
        ClientOptions::new()
            .with_connect_timeout(Duration::from_secs(10))
            .with_read_timeout(Duration::from_secs(60))
            .with_timeout(Duration::from_secs(300))
    }

    fn retry(options: &OpenOptions, retries: Option<usize>) -> Result<RetryConfig> {
        let mut config = RetryConfig::default();
        let said = options.settings.iter().find(|(key, _)| key == "max_retries").map(|(_, value)| value.parse());
        let said = said.transpose().map_err(|_| Error::Settings("max_retries is no number".to_owned()))?;
        config.max_retries = retries.or(said).unwrap_or(config.max_retries);
        Ok(config)
    }

    fn settings(error: &object_store::Error) -> Error {
        Error::Settings(error.to_string())
    }

    macro_rules! vendor {
        ($feature:literal, $name:ident, $builder:path, $key:path, $plain:expr) => {
            #[cfg(feature = $feature)]
            pub(super) fn $name(
                url: &str,
                options: &OpenOptions,
                retries: Option<usize>,
            ) -> Result<Arc<dyn ObjectStore>> {
                type Builder = $builder;
                let mut builder = $plain(Builder::from_env().with_client_options(client()).with_url(url));
                for (key, value) in options.settings.iter().filter(|(key, _)| key != "max_retries") {
                    let key = key.parse::<$key>().map_err(|e| settings(&e))?;
                    builder = builder.with_config(key, value);
                }
                let store = builder.with_retry(retry(options, retries)?).build();
                Ok(Arc::new(store.map_err(|e| settings(&e))?))
            }
        };
    }

    vendor!("aws", s3, object_store::aws::AmazonS3Builder, object_store::aws::AmazonS3ConfigKey, |b: Builder| {
        // One object is deleted at a time, and not all that speak S3 know the request for many.
        b.with_disable_bulk_delete(true)
    });
    vendor!("gcp", google, object_store::gcp::GoogleCloudStorageBuilder, object_store::gcp::GoogleConfigKey, |b| b);
    vendor!("azure", azure, object_store::azure::MicrosoftAzureBuilder, object_store::azure::AzureConfigKey, |b| b);
}
