//! How to reach the API server of a cluster, and with which credentials.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use kube_client::config::{AuthInfo, KubeConfigOptions, Kubeconfig};
use kube_client::{Client, Config};

use crate::failure::Failure;

/// How to reach the API server, and with which credentials.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Access {
    /// As a pod of the cluster: by its environment and the files of its service account.
    InCluster,
    /// At this URL.
    Endpoint {
        /// The URL.
        url: String,
        /// A client certificate and its key.
        identity: Option<(PathBuf, PathBuf)>,
        /// The certificates of the authorities that may have signed the server's.
        authorities: Option<PathBuf>,
    },
    /// As a kubeconfig file says.
    Kubeconfig {
        /// The file.
        file: PathBuf,
        /// The context; the current one of the file if `None`.
        context: Option<String>,
    },
}

/// The files of a service account, in a pod.
const ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// A client, and the server that it talks to.
pub(crate) struct Connected {
    pub(crate) client: Client,
    /// Its URL, without the path.
    pub(crate) server: String,
    /// Its host and port.
    pub(crate) host: String,
}

impl Access {
    /// The files that it reads.
    fn files(&self) -> Vec<PathBuf> {
        let account = || vec![Path::new(ACCOUNT).join("ca.crt"), Path::new(ACCOUNT).join("token")];
        match self {
            Self::InCluster => account(),
            Self::Endpoint { identity: None, authorities: None, .. } => account(),
            Self::Endpoint { identity, authorities, .. } => {
                let identity = identity.iter().flat_map(|(cert, key)| [cert, key]);
                identity.chain(authorities).cloned().collect()
            }
            Self::Kubeconfig { file, .. } => {
                let mut files = vec![file.clone()];
                files.extend(Kubeconfig::read_from(file).iter().flat_map(files_of));
                files
            }
        }
    }

    /// What tells the state of these files from another one.
    pub(crate) fn fingerprint(&self) -> String {
        let mut print = String::new();
        for file in self.files() {
            let stamp = files::versions::Stamp::of(&file);
            // To write to a string does not fail.
            let _ = write!(print, "{} {stamp:?};", file.display());
        }
        print
    }

    /// Makes a client. Reads files, and may run a program for a token: to be called where that may take time.
    ///
    /// # Errors
    /// A file or an option is missing or wrong.
    pub(crate) fn connect(&self, runtime: &tokio::runtime::Handle) -> Result<Connected, Failure> {
        let mut config = self.config(runtime)?;
        // Retries are this room's, which tells what it waits for.
        config.default_retry = false;
        let authority = config.cluster_url.authority().map(ToString::to_string);
        let host = authority.unwrap_or_default();
        let scheme = config.cluster_url.scheme_str().unwrap_or("https");
        let server = format!("{scheme}://{host}");
        let _entered = runtime.enter();
        let client = Client::try_from(config).map_err(|error| {
            Failure::refused(format!("cannot use the credentials for `{server}`: {}", told(&error)))
        })?;
        Ok(Connected { client, server, host })
    }

    fn config(&self, runtime: &tokio::runtime::Handle) -> Result<Config, Failure> {
        match self {
            Self::InCluster => Config::incluster().map_err(|error| {
                Failure::refused(format!(
                    "cannot find the API server: {}: run in a pod with a service account, or add \
                     `kubeconfig` or `endpoint`",
                    told(&error)
                ))
            }),
            Self::Endpoint { url, identity, authorities } => {
                let uri = url
                    .parse::<http::Uri>()
                    .map_err(|error| Failure::refused(format!("`{url}` is not a URL: {error}")))?;
                let mut config = Config::new(uri);
                if identity.is_none() && authorities.is_none() {
                    account(&mut config);
                }
                let show = |path: &Path| path.to_string_lossy().into_owned();
                if let Some((certificate, key)) = identity {
                    config.auth_info.client_certificate = Some(show(certificate));
                    config.auth_info.client_key = Some(show(key));
                }
                config.root_cert_file.clone_from(authorities);
                Ok(config)
            }
            Self::Kubeconfig { file, context } => {
                let wrong = |error: &dyn std::error::Error| {
                    Failure::refused(format!("kubeconfig `{}`: {}", file.display(), told(error)))
                };
                let read = Kubeconfig::read_from(file).map_err(|error| wrong(&error))?;
                let options =
                    KubeConfigOptions { context: context.clone(), ..KubeConfigOptions::default() };
                let config = Config::from_custom_kubeconfig(read, &options);
                runtime.block_on(config).map_err(|error| wrong(&error))
            }
        }
    }
}

/// Uses the service account, if this is a pod that has one and the server is asked with TLS.
fn account(config: &mut Config) {
    let (token, authorities) =
        (Path::new(ACCOUNT).join("token"), Path::new(ACCOUNT).join("ca.crt"));
    if config.cluster_url.scheme_str() == Some("https") && token.is_file() && authorities.is_file()
    {
        config.root_cert_file = Some(authorities);
        config.auth_info = AuthInfo {
            token_file: Some(token.to_string_lossy().into_owned()),
            ..AuthInfo::default()
        };
    }
}

/// The files that a kubeconfig names.
fn files_of(config: &Kubeconfig) -> Vec<PathBuf> {
    let clusters = config.clusters.iter().filter_map(|named| named.cluster.as_ref());
    let users = config.auth_infos.iter().filter_map(|named| named.auth_info.as_ref());
    let authorities = clusters.filter_map(|cluster| cluster.certificate_authority.as_ref());
    let identity = users.flat_map(|user| {
        [&user.client_certificate, &user.client_key, &user.token_file].into_iter().flatten()
    });
    authorities.chain(identity).map(PathBuf::from).collect()
}

/// An error and its causes.
fn told(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = error.source();
    }
    text
}
