//! The trusted certificate authorities, and our client certificate.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::WantsClientCert;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, ConfigBuilder, RootCertStore};

use super::{HttpVersion, Transport};

/// A certificate or a key is missing or unusable.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    #[error("{setting} {}: {source}", path.display())]
    Authorities { setting: &'static str, path: PathBuf, source: Cause },
    #[error("--provider-client-cert {}: {source}", path.display())]
    Identity { path: PathBuf, source: Cause },
    #[error(
        "no certificate authorities to trust{because}: install the system's (ca-certificates), correct \
         SSL_CERT_FILE and SSL_CERT_DIR, or set {setting}"
    )]
    NoRoots { setting: &'static str, because: String },
    #[error(transparent)]
    Rustls(#[from] rustls::Error),
}

/// Why a PEM file can't be used: an error of its format, or of rustls.
type Cause = Box<dyn Error + Send + Sync>;

/// The TLS configuration. Clones share their sessions, so that a fresh connection resumes one.
///
/// The operator's files are read even without TLS, so that a wrong one is noticed. The system's
/// authorities are read only if `with_system` is set, so that plain HTTP needs none.
///
/// # Errors
/// [`TlsError`] names the file that can't be used, or says that no authority is trusted.
pub(super) fn config(transport: &Transport, with_system: bool) -> Result<ClientConfig, TlsError> {
    let builder = trusting("--provider-ca", transport.ca.as_deref(), with_system)?;
    let mut config = match &transport.client_cert {
        Some(path) => {
            let failed = |source| TlsError::Identity { path: path.clone(), source };
            let (chain, key) = identity(path).map_err(failed)?;
            builder.with_client_auth_cert(chain, key).map_err(|error| failed(error.into()))?
        }
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![match transport.http {
        HttpVersion::Http1 => b"http/1.1".to_vec(),
        HttpVersion::Http2 => b"h2".to_vec(),
    }];
    Ok(config)
}

/// The configuration of a client that shows no certificate: for a document at a URL. `ca` is a PEM file of
/// authorities, given by `setting`.
///
/// # Errors
/// As [`config`].
pub(crate) fn anonymous(
    setting: &'static str,
    ca: Option<&Path>,
    with_system: bool,
) -> Result<ClientConfig, TlsError> {
    let mut config = trusting(setting, ca, with_system)?.with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

fn trusting(
    setting: &'static str,
    ca: Option<&Path>,
    with_system: bool,
) -> Result<ConfigBuilder<ClientConfig, WantsClientCert>, TlsError> {
    let mut roots = RootCertStore::empty();
    if let Some(path) = ca {
        let failed = |source| TlsError::Authorities { setting, path: path.to_owned(), source };
        add_authorities(&mut roots, path).map_err(failed)?;
    }
    if with_system {
        add_system(&mut roots).map_err(|because| TlsError::NoRoots { setting, because })?;
    }
    let versions = [&rustls::version::TLS13, &rustls::version::TLS12];
    Ok(ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&versions)?
        .with_root_certificates(roots))
}

fn add_authorities(roots: &mut RootCertStore, path: &Path) -> Result<(), Cause> {
    for certificate in certificates(path)? {
        roots.add(certificate)?;
    }
    Ok(())
}

/// All certificates of a PEM file; at least one.
fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, pem::Error> {
    let found = CertificateDer::pem_file_iter(path)?.collect::<Result<Vec<_>, _>>()?;
    if found.is_empty() { Err(pem::Error::NoItemsFound) } else { Ok(found) }
}

fn identity(path: &Path) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), Cause> {
    Ok((certificates(path)?, PrivateKeyDer::from_pem_file(path)?))
}

/// The system's authorities, or those of `SSL_CERT_FILE` and `SSL_CERT_DIR`. An unreadable one is not an
/// error if there are others; without any, it says why.
fn add_system(roots: &mut RootCertStore) -> Result<(), String> {
    let found = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(found.certs);
    let errors: Vec<String> = found.errors.iter().map(ToString::to_string).collect();
    let errors = errors.join("; ");
    if roots.is_empty() {
        let because = if errors.is_empty() { errors } else { format!(" ({errors})") };
        return Err(because);
    }
    if !errors.is_empty() {
        tracing::warn!(
            %errors,
            "some of the system's certificate authorities can't be read: servers that need them \
             will fail with TLS; are SSL_CERT_FILE and SSL_CERT_DIR right?"
        );
    }
    Ok(())
}
