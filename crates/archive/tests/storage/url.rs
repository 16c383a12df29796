//! From URLs to storages.

use archive::storage::{AccessKey, Error, Listing, OpenOptions, open};

use crate::service::{KEY, Service};
use crate::suite::name;

fn refused(url: &str) -> String {
    match open(url, &OpenOptions::default()) {
        Err(Error::Settings(why)) => why,
        other => panic!("{url}: {other:?}"),
    }
}

#[test]
fn paths_and_files_are_directories() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a:b c").to_str().unwrap().to_owned();
    open(&path, &OpenOptions::default()).unwrap().put(&name("x"), b"kept").unwrap();
    let url = format!("file://{}", path.replace(' ', "%20"));
    let again = open(&url, &OpenOptions::default()).unwrap();
    assert_eq!(again.get_bytes(&name("x"), 9).unwrap(), b"kept");
}

#[test]
fn memory_is_new_each_time() {
    for url in ["memory:", "memory://", "memory:///"] {
        let storage = open(url, &OpenOptions::default()).unwrap();
        assert!(storage.list("", None, 9).unwrap().is_empty());
        storage.put(&name("x"), b"").unwrap();
    }
}

#[test]
fn http_is_a_plain_service_with_its_options() {
    let service = Service::start();
    let options = OpenOptions {
        access_key: Some(AccessKey::new(&format!(" {KEY}\n"))),
        listing: Some(Listing::JsonFolders),
        conditional_put: true,
        ..OpenOptions::default()
    };
    let storage = open(&service.server.url("/zone"), &options).unwrap();
    storage.put_new(&name("a/b"), b"x").unwrap();
    assert_eq!(storage.list("a/", None, 9).unwrap().len(), 1);
    assert_eq!(service.state.lock().objects["a/b"], b"x");
}

#[test]
fn what_is_not_known_is_refused_with_what_is() {
    assert!(refused("ftp://host/path").contains("known are"));
    assert!(refused("").contains("empty"));
    assert!(refused("memory://x").contains("no path"));
    assert!(refused("http:///").contains("URL"));
    assert!(refused("file://host/path").contains("this machine"));
    #[cfg(not(feature = "gcp"))]
    assert!(refused("gs://bucket/x").contains("built without"));
    #[cfg(not(feature = "azure"))]
    assert!(refused("az://container/x").contains("built without"));
}

#[cfg(feature = "aws")]
#[test]
fn settings_of_a_cloud_are_checked() {
    for (key, value) in [("no_such_setting", "1"), ("max_retries", "many")] {
        let options = OpenOptions { settings: vec![(key.into(), value.into())], ..OpenOptions::default() };
        assert!(matches!(open("s3://bucket/x", &options), Err(Error::Settings(_))), "{key}");
    }
}
