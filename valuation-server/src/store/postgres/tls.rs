//! The TLS of a connection to PostgreSQL: the server's certificate is always checked, with the host's name.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::address::PostgresAddress;
use crate::store::error::OpenProblem;

/// Why the authorities can't be used.
#[derive(Debug, thiserror::Error)]
enum Untrusted {
    #[error("--database-ca {}: {source}; expected a PEM file with one or more certificates", path.display())]
    Authorities { path: PathBuf, source: Box<dyn Error + Send + Sync> },
    #[error(
        "no certificate authorities to trust{0}: install the system's (ca-certificates), correct SSL_CERT_FILE \
         and SSL_CERT_DIR, or set --database-ca"
    )]
    NoRoots(String),
    #[error(transparent)]
    Rustls(#[from] rustls::Error),
}

/// What encrypts the connections to this address. It trusts the authorities of [`PostgresAddress::with_ca`], or the
/// system's without, which are read only if the connection is encrypted. Blocks for the files.
///
/// # Errors
/// [`OpenProblem::Tls`] names the file that can't be used, or says that no authority is trusted.
pub(super) fn connector(address: &PostgresAddress) -> Result<MakeRustlsConnect, OpenProblem> {
    config(address)
        .map(MakeRustlsConnect::new)
        .map_err(|untrusted| OpenProblem::Tls(Arc::new(untrusted)))
}

fn config(address: &PostgresAddress) -> Result<ClientConfig, Untrusted> {
    let roots = match address.ca() {
        Some(path) => authorities(path)
            .map_err(|source| Untrusted::Authorities { path: path.to_owned(), source })?,
        None if address.is_encrypted() => system()?,
        None => RootCertStore::empty(),
    };
    let versions = [&rustls::version::TLS13, &rustls::version::TLS12];
    // The provider is named, since a program may link several and then none is the default.
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    let mut config = builder
        .with_protocol_versions(&versions)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    // As libpq since 17; TLS without PostgreSQL's request for it (`sslnegotiation=direct`) requires it.
    config.alpn_protocols = vec![b"postgresql".to_vec()];
    Ok(config)
}

/// The certificates of a PEM file; at least one.
fn authorities(path: &Path) -> Result<RootCertStore, Box<dyn Error + Send + Sync>> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path)? {
        roots.add(certificate?)?;
    }
    if roots.is_empty() { Err("there is no certificate in it".into()) } else { Ok(roots) }
}

/// The system's authorities. An unreadable one is not an error if there are others.
fn system() -> Result<RootCertStore, Untrusted> {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(found.certs);
    let errors: Vec<String> = found.errors.iter().map(ToString::to_string).collect();
    let errors = errors.join("; ");
    if roots.is_empty() {
        let because = if errors.is_empty() { errors } else { format!(" ({errors})") };
        return Err(Untrusted::NoRoots(because));
    }
    if !errors.is_empty() {
        tracing::warn!(
            %errors,
            "some of the system's certificate authorities can't be read: a database whose certificate needs them \
             can't be connected to; are SSL_CERT_FILE and SSL_CERT_DIR right?"
        );
    }
    Ok(roots)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use rcgen::{CertifiedKey, KeyPair};
    use rustls::pki_types::PrivateKeyDer;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;
    use tokio_rustls::TlsAcceptor;

    use super::*;

    fn address(text: &str, ca: Option<&Path>) -> PostgresAddress {
        text.parse::<PostgresAddress>().unwrap().with_ca(ca)
    }

    #[test]
    fn a_file_of_authorities_is_trusted_in_place_of_the_systems() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.pem");
        let own = |name: &str| rcgen::generate_simple_self_signed([name.to_owned()]).unwrap().cert;
        fs::write(&path, own("a.example").pem() + &own("b.example").pem()).unwrap();
        assert_eq!(authorities(&path).unwrap().len(), 2);
        connector(&address("postgres://db.example/v", Some(&path))).unwrap();
    }

    /// Whether a server with this certificate is trusted by a client of `db.example`. It answers PostgreSQL's request
    /// for TLS, and nothing more.
    async fn is_trusted(own: &CertifiedKey<KeyPair>, ca: &Path) -> bool {
        let key = PrivateKeyDer::try_from(own.signing_key.serialize_der()).unwrap();
        let provider = Arc::new(aws_lc_rs::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![own.cert.der().clone()], key)
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 8];
            stream.read_exact(&mut request).await.unwrap();
            assert_eq!(request, [0, 0, 0, 8, 4, 210, 22, 47]);
            stream.write_all(b"S").await.unwrap();
            TlsAcceptor::from(Arc::new(config)).accept(stream).await.is_ok()
        };
        let url = format!("postgres://u@db.example:{port}/v?hostaddr=127.0.0.1&sslmode=require");
        let address = address(&url, Some(ca));
        let tls = connector(&address).unwrap();
        let (trusted, connected) = tokio::join!(server, address.config().connect(tls));
        assert!(connected.is_err(), "it says nothing after the handshake");
        trusted
    }

    #[tokio::test]
    async fn a_server_is_trusted_with_a_certificate_of_the_authorities_for_its_name_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.pem");
        let own = |name: &str| rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
        let (right, other) = (own("db.example"), own("other.example"));
        fs::write(&path, right.cert.pem() + &other.cert.pem()).unwrap();
        assert!(is_trusted(&right, &path).await);
        assert!(!is_trusted(&other, &path).await, "it has another name");
        assert!(!is_trusted(&own("db.example"), &path).await, "nobody trusted has signed it");
    }

    #[test]
    fn a_file_without_a_usable_certificate_is_named_with_what_is_right() {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in [
            ("missing.pem", None),
            ("empty.pem", Some("")),
            ("key.pem", Some("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")),
            ("bad.pem", Some("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")),
            ("cut.pem", Some("-----BEGIN CERTIFICATE-----\nAAAA\n")),
        ] {
            let path = folder.path().join(name);
            if let Some(text) = text {
                fs::write(&path, text).unwrap();
            }
            for url in ["postgres://db.example/v", "postgres://localhost/v"] {
                let error = connector(&address(url, Some(&path))).map(drop).unwrap_err();
                assert!(matches!(error, OpenProblem::Tls(_)), "{error}");
                let error = error.to_string();
                let named = format!("--database-ca {}: ", path.display());
                assert!(error.contains(&named), "{error}");
                assert!(
                    error.ends_with("expected a PEM file with one or more certificates"),
                    "{error}"
                );
            }
        }
    }

    #[test]
    fn a_connection_that_is_not_encrypted_needs_no_authorities() {
        connector(&address("postgres://localhost/v", None)).unwrap();
        assert!(config(&address("postgres://localhost/v", None)).is_ok());
    }
}
