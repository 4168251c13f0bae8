//! S3, Google Cloud Storage and Azure: their clients, with every limit of time set on purpose.
//!
//! | | |
//! |---|---|
//! | connect | 5 s |
//! | one request, with its body | 60 s |
//! | attempts after the first | 4, at most 20 s after it began |
//! | pause between attempts | 100 ms, doubling up to 5 s, jittered |
//!
//! An outage so shows within seconds; what is then to be done is decided above (rows leave memory for the
//! local disk, requests are acknowledged to the log). Options of the configuration come before these.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::{BackoffConfig, ClientOptions, ObjectStore, ObjectStoreScheme, RetryConfig};
use url::Url;

const CONNECT: Duration = Duration::from_secs(5);
const REQUEST: Duration = Duration::from_secs(60);

fn client() -> ClientOptions {
    ClientOptions::new()
        .with_connect_timeout(CONNECT)
        .with_timeout(REQUEST)
}

fn retry() -> RetryConfig {
    RetryConfig {
        backoff: BackoffConfig {
            init_backoff: Duration::from_millis(100),
            max_backoff: Duration::from_secs(5),
            base: 2.0,
        },
        max_retries: 4,
        retry_timeout: Duration::from_secs(20),
    }
}

/// The prefix of the environment variables that a kind of store is configured by; None when it is no cloud.
fn environment(scheme: &ObjectStoreScheme) -> Option<&'static str> {
    match scheme {
        ObjectStoreScheme::AmazonS3 => Some("AWS_"),
        ObjectStoreScheme::GoogleCloudStorage => Some("GOOGLE_"),
        ObjectStoreScheme::MicrosoftAzure => Some("AZURE_"),
        _ => None,
    }
}

/// A client for a bucket; the error says what is wrong with the URL or with an option.
pub(super) fn open(
    scheme: &ObjectStoreScheme,
    url: &Url,
    configured: &HashMap<String, String>,
) -> Result<Arc<dyn ObjectStore>, String> {
    let Some(prefix) = environment(scheme) else {
        return Err(format!("{scheme:?} storage keeps no tables"));
    };
    let options = options(prefix, std::env::vars(), configured);
    macro_rules! built {
        ($builder:ty, $key:ty) => {{
            let mut builder = <$builder>::new()
                .with_url(url.as_str())
                .with_client_options(client())
                .with_retry(retry());
            for (key, value) in options {
                match key.parse::<$key>() {
                    Ok(known) => builder = builder.with_config(known, value),
                    Err(error) if named(configured, &key) => {
                        return Err(format!("data.storage_options: {error}"));
                    }
                    // The environment is everybody's.
                    Err(_) => {}
                }
            }
            let built = builder.build().map_err(|error| error.to_string())?;
            Ok(Arc::new(built) as Arc<dyn ObjectStore>)
        }};
    }
    match scheme {
        ObjectStoreScheme::GoogleCloudStorage => built!(GoogleCloudStorageBuilder, GoogleConfigKey),
        ObjectStoreScheme::MicrosoftAzure => built!(MicrosoftAzureBuilder, AzureConfigKey),
        _ => built!(AmazonS3Builder, AmazonS3ConfigKey),
    }
}

fn named(configured: &HashMap<String, String>, key: &str) -> bool {
    configured.keys().any(|name| name.eq_ignore_ascii_case(key))
}

/// Options of the environment under those of the configuration. Keys are object_store's, in lower case.
fn options(
    prefix: &str,
    environment: impl Iterator<Item = (String, String)>,
    configured: &HashMap<String, String>,
) -> HashMap<String, String> {
    let named = environment.filter(|(key, _)| key.starts_with(prefix));
    let configured = configured
        .iter()
        .map(|(key, value)| (key.clone(), value.clone()));
    named
        .chain(configured)
        .map(|(key, value)| (key.to_ascii_lowercase(), value))
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn configured_options_come_before_the_environment() {
        let environment = [("AWS_REGION", "a"), ("AWS_ENDPOINT", "b"), ("HOME", "c")];
        let environment = environment
            .into_iter()
            .map(|(key, value)| (key.to_owned(), value.to_owned()));
        let configured = HashMap::from([("aws_region".to_owned(), "mine".to_owned())]);
        let found = options("AWS_", environment, &configured);
        assert_eq!(
            found,
            HashMap::from([
                ("aws_region".into(), "mine".into()),
                ("aws_endpoint".into(), "b".into())
            ])
        );
    }

    #[test]
    fn every_cloud_opens_and_an_option_nobody_knows_is_named() {
        let places = [
            ("s3://bucket/path", "aws_region"),
            ("gs://bucket/path", "google_service_account_key"),
            ("az://container/path", "azure_storage_account_name"),
        ];
        for (place, known) in places {
            let url = Url::parse(place).unwrap();
            let (scheme, _) = ObjectStoreScheme::parse(&url).unwrap();
            let mut options = HashMap::from([("AWS_REGON".to_owned(), "x".to_owned())]);
            let error = open(&scheme, &url, &options).unwrap_err();
            assert!(error.to_lowercase().contains("aws_regon"), "{error}");
            options = HashMap::from([(known.to_owned(), "x".to_owned())]);
            if known != "google_service_account_key" {
                open(&scheme, &url, &options).unwrap();
            }
        }
    }
}
