//! TLS of a listener, with certificates that may change while it listens.
//!
//! The files are read again on SIGHUP and every minute. New ones count for new connections; files that are no good change
//! nothing but the log.

mod unchecked;

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use arc_swap::ArcSwap;
use rustls::{
    RootCertStore, ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject as _},
    server::{VerifierBuilderError, WebPkiClientVerifier},
};
use tokio_rustls::TlsAcceptor;
use tracing::{info, warn};

use crate::{runtime::Lifecycle, settings::http::TlsFiles, telemetry::report};

pub(crate) use unchecked::unchecked_client;

/// A certificate that was renewed is in use this much later at the latest.
const LOOK_AGAIN: Duration = Duration::from_mins(1);

/// Why a listener's files cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// One is absent, or may not be read.
    #[error("cannot read {path}")]
    Unreadable {
        /// As in the settings.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// One does not hold what it should.
    #[error("{path} is not PEM of {what}")]
    NotPem {
        /// As in the settings.
        path: PathBuf,
        /// What it should hold.
        what: &'static str,
        /// What is wrong with it.
        source: pem::Error,
    },
    /// Each can be read, and they do not fit: a key of another certificate, mostly.
    #[error("certificate {cert} and its key cannot be used together")]
    Unusable {
        /// As in the settings.
        cert: PathBuf,
        /// What TLS said.
        source: rustls::Error,
    },
    /// No client could ever be believed.
    #[error("the authorities in {path} cannot vouch for clients")]
    ClientCa {
        /// As in the settings.
        path: PathBuf,
        /// What TLS said.
        source: VerifierBuilderError,
    },
}

/// The TLS side of one listener; a clone is the same one.
#[derive(Debug, Clone)]
pub struct ServerTls {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    files: TlsFiles,
    protocols: Vec<Vec<u8>>,
    config: ArcSwap<ServerConfig>,
    /// What `config` was made of.
    contents: Mutex<Contents>,
}

#[derive(Debug, PartialEq, Eq)]
struct Contents {
    cert: Vec<u8>,
    key: Vec<u8>,
    client_ca: Option<Vec<u8>>,
}

impl ServerTls {
    /// For a listener that speaks HTTP.
    ///
    /// # Errors
    /// When the files cannot be used; no restart helps.
    pub fn for_http(files: &TlsFiles) -> Result<Self, TlsError> {
        Self::open(files, &["h2", "http/1.1"])
    }

    /// For any other listener.
    ///
    /// # Errors
    /// When the files cannot be used; no restart helps.
    pub fn for_stream(files: &TlsFiles) -> Result<Self, TlsError> {
        Self::open(files, &[])
    }

    fn open(files: &TlsFiles, protocols: &[&str]) -> Result<Self, TlsError> {
        let protocols: Vec<_> = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        let contents = Contents::read(files)?;
        let config = contents.config(files, &protocols)?;
        let inner = Inner {
            files: files.clone(),
            protocols,
            config: ArcSwap::from_pointee(config),
            contents: Mutex::new(contents),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Answers the handshake of one connection, with the certificate of now.
    #[must_use]
    pub fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.inner.config.load_full())
    }

    /// Takes over files that changed; says whether they had.
    ///
    /// # Errors
    /// When the new files cannot be used; the old ones stay in use.
    pub fn reload(&self) -> Result<bool, TlsError> {
        let Inner { files, protocols, config, contents } = &*self.inner;
        let new = Contents::read(files)?;
        let mut old = contents.lock().unwrap_or_else(PoisonError::into_inner);
        // An equal one would forget the sessions that clients want to resume.
        if *old == new {
            return Ok(false);
        }
        config.store(Arc::new(new.config(files, protocols)?));
        *old = new;
        Ok(true)
    }

    /// Looks at the files again on each reload and every minute, until the drain.
    pub fn keep_fresh(&self, lifecycle: &Lifecycle) {
        let (tls, draining, mut reload) = (self.clone(), lifecycle.draining(), lifecycle.on_reload());
        lifecycle.spawn("tls files", async move {
            loop {
                tokio::select! {
                    () = draining.cancelled() => return,
                    _ = reload.changed() => {}
                    () = tokio::time::sleep(LOOK_AGAIN) => {}
                }
                let cert = tls.inner.files.cert.display();
                match tls.reload() {
                    Ok(true) => info!(%cert, "took over the new certificate {cert}"),
                    Ok(false) => {}
                    Err(error) => {
                        warn!(%cert, error = report(&error), "the new certificate {cert} is no good; the old one stays");
                    }
                }
            }
        });
    }
}

impl Contents {
    fn read(files: &TlsFiles) -> Result<Self, TlsError> {
        let read = |path: &Path| {
            std::fs::read(path).map_err(|source| TlsError::Unreadable { path: path.to_owned(), source })
        };
        Ok(Self {
            cert: read(&files.cert)?,
            key: read(&files.key)?,
            client_ca: files.client_ca.as_deref().map(read).transpose()?,
        })
    }

    fn config(&self, files: &TlsFiles, protocols: &[Vec<u8>]) -> Result<ServerConfig, TlsError> {
        let unusable = |source| TlsError::Unusable { cert: files.cert.clone(), source };
        let chain = certificates(&self.cert, &files.cert)?;
        let key = PrivateKeyDer::from_pem_slice(&self.key).map_err(|source| TlsError::NotPem {
            path: files.key.clone(),
            what: "a private key",
            source,
        })?;
        let provider = Arc::new(ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(unusable)?;
        let builder = match (&self.client_ca, &files.client_ca) {
            (Some(authorities), Some(path)) => {
                let mut roots = RootCertStore::empty();
                roots.add_parsable_certificates(certificates(authorities, path)?);
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                    .build()
                    .map_err(|source| TlsError::ClientCa { path: path.clone(), source })?;
                builder.with_client_cert_verifier(verifier)
            }
            _ => builder.with_no_client_auth(),
        };
        let mut config = builder.with_single_cert(chain, key).map_err(unusable)?;
        config.alpn_protocols = protocols.to_vec();
        Ok(config)
    }
}

fn certificates(text: &[u8], path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let not_pem = |source| TlsError::NotPem { path: path.to_owned(), what: "certificates", source };
    let chain = CertificateDer::pem_slice_iter(text).collect::<Result<Vec<_>, _>>().map_err(not_pem)?;
    if chain.is_empty() { Err(not_pem(pem::Error::NoItemsFound)) } else { Ok(chain) }
}
