//! TLS by rustls, its cryptography by ring: named here, so that nothing is installed for the whole process and
//! nothing that a host installed is used. Certificates are always checked.

use std::sync::Arc;

use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::trouble::Trouble;
use crate::error::{Error, ErrorKind, Result};

/// More than any honest bundle of certificates.
const MAX_PEM: u64 = 16 << 20;

/// Whom to trust, and how to show who one is.
pub(super) struct Tls {
    identity: Option<Identity>,
    /// None until the roots of the system have been read: that takes a while, and opening a cache should not.
    ready: std::sync::OnceLock<TlsConnector>,
}

struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl Tls {
    /// From PEM texts or the paths of PEM files; without `ca` the system's roots are trusted.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidOption`] naming the option.
    pub fn new(ca: Option<&str>, cert: Option<&str>, key: Option<&str>) -> Result<Tls> {
        let identity = match (cert, key) {
            (None, None) => None,
            (Some(_), None) => return Err(invalid("tls_key must be given with tls_cert")),
            (None, Some(_)) => return Err(invalid("tls_cert must be given with tls_key")),
            (Some(cert), Some(key)) => {
                let chain = certificates("tls_cert", cert)?;
                let key = PrivateKeyDer::from_pem_slice(&pem("tls_key", key)?).map_err(|_| {
                    invalid("tls_key must be PEM text or a PEM file with an unencrypted private key")
                })?;
                Some(Identity { chain, key })
            }
        };
        let tls = Tls { identity, ready: std::sync::OnceLock::new() };
        let roots = match ca {
            Some(ca) => {
                let mut roots = RootCertStore::empty();
                for certificate in certificates("tls_ca", ca)? {
                    roots.add(certificate).map_err(|_| invalid("tls_ca has a certificate that is none"))?;
                }
                Some(roots)
            }
            // Certificate and key are tried now, so that what is wrong with them is told now.
            None if tls.identity.is_some() => {
                tls.connector(RootCertStore::empty())?;
                None
            }
            None => None,
        };
        if let Some(roots) = roots {
            let connector = tls.connector(roots)?;
            // A new value, so nobody was first.
            let _ = tls.ready.set(connector);
        }
        Ok(tls)
    }

    /// What makes a TLS stream of a TCP stream.
    pub async fn ready(&self) -> Result<TlsConnector, Trouble> {
        if let Some(ready) = self.ready.get() {
            return Ok(ready.clone());
        }
        let found = tokio::task::spawn_blocking(rustls_native_certs::load_native_certs).await;
        let mut roots = RootCertStore::empty();
        // One root that does not parse must not spoil the others.
        roots.add_parsable_certificates(found.map(|found| found.certs).unwrap_or_default());
        if roots.is_empty() {
            return Err(Trouble::lost("the system has no root certificates: give tls_ca"));
        }
        let connector = self.connector(roots).map_err(|_| Trouble::lost("TLS cannot be set up"))?;
        Ok(self.ready.get_or_init(|| connector).clone())
    }

    fn connector(&self, roots: RootCertStore) -> Result<TlsConnector> {
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|_| Error::new(ErrorKind::Internal, "open", "ring has no TLS version"))?
            .with_root_certificates(roots);
        let config = match &self.identity {
            None => builder.with_no_client_auth(),
            Some(identity) => builder
                .with_client_auth_cert(identity.chain.clone(), identity.key.clone_key())
                .map_err(|_| invalid("tls_key must be the key of tls_cert, of a kind that TLS knows"))?,
        };
        Ok(TlsConnector::from(Arc::new(config)))
    }
}

fn certificates(option: &str, value: &str) -> Result<Vec<CertificateDer<'static>>> {
    let wrong = || invalid(&format!("{option} must be PEM text or a PEM file with certificates"));
    let found: Vec<_> =
        CertificateDer::pem_slice_iter(&pem(option, value)?).collect::<Result<_, _>>().map_err(|_| wrong())?;
    if found.is_empty() { Err(wrong()) } else { Ok(found) }
}

/// The PEM text that an option holds or names. The value itself is never shown: it may be a key without its frame.
fn pem(option: &str, value: &str) -> Result<Vec<u8>> {
    if value.contains("-----BEGIN") {
        return Ok(value.as_bytes().to_vec());
    }
    let wrong = |why: &str| invalid(&format!("{option} must be PEM text or the path of a PEM file; {why}"));
    let unread = |error: std::io::Error| wrong(&format!("the file cannot be read: {}", error.kind()));
    match std::fs::metadata(value).map_err(unread)? {
        file if !file.is_file() => Err(wrong("that is no file")),
        file if file.len() > MAX_PEM => Err(wrong("the file has more than 16 MiB")),
        _ => std::fs::read(value).map_err(unread),
    }
}

fn invalid(message: &str) -> Error {
    Error::new(ErrorKind::InvalidOption, "open", message)
}
