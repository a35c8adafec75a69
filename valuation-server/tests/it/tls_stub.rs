//! A provider that speaks TLS, with certificates that are made in the test.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{HandshakeKind, RootCertStore, ServerConfig, SupportedProtocolVersion};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

/// A certificate authority, and a folder for the files of a test.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
    folder: TempDir,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // A name of its own, so that it is not taken for another authority with another key.
        let name = folder.path().display().to_string();
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem, folder }
    }

    /// A file with this text.
    pub(crate) fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// A file with the authority's certificate.
    pub(crate) fn trusted(&self) -> PathBuf {
        self.file("ca.pem", &self.pem)
    }

    /// A certificate for `name` and its key, as PEM.
    pub(crate) fn identity(&self, name: &str) -> String {
        self.sign(&CertificateParams::new([name.to_owned()]).unwrap())
    }

    pub(crate) fn expired_identity(&self, name: &str) -> String {
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.not_before = date_time_ymd(2000, 1, 1);
        params.not_after = date_time_ymd(2001, 1, 1);
        self.sign(&params)
    }

    fn sign(&self, params: &CertificateParams) -> String {
        let key = KeyPair::generate().unwrap();
        params.signed_by(&key, &self.issuer).unwrap().pem() + &key.serialize_pem()
    }
}

/// Answers one request on each connection, over TLS.
pub(crate) struct TlsStub {
    address: SocketAddr,
    /// Of each handshake that was completed.
    handshakes: Arc<Mutex<Vec<HandshakeKind>>>,
    accepting: JoinHandle<()>,
}

impl TlsStub {
    /// With a certificate and its key as PEM; asks for certificates of `clients`, if given.
    pub(crate) async fn start(
        identity: &str,
        clients: Option<&Authority>,
        version: &'static SupportedProtocolVersion,
        answer: String,
    ) -> Self {
        let certificate = CertificateDer::from_pem_slice(identity.as_bytes()).unwrap();
        let key = PrivateKeyDer::from_pem_slice(identity.as_bytes()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[version])
            .unwrap();
        let builder = match clients {
            Some(authority) => {
                let mut roots = RootCertStore::empty();
                roots
                    .add(CertificateDer::from_pem_slice(authority.pem.as_bytes()).unwrap())
                    .unwrap();
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                builder.with_client_cert_verifier(verifier.build().unwrap())
            }
            None => builder.with_no_client_auth(),
        };
        let config = builder.with_single_cert(vec![certificate], key).unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let handshakes = Arc::<Mutex<Vec<HandshakeKind>>>::default();
        let noted = Arc::clone(&handshakes);
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // One that is refused is a finding of the client's.
                let Ok(mut stream) = acceptor.accept(stream).await else { continue };
                noted.lock().unwrap().push(stream.get_ref().1.handshake_kind().unwrap());
                let _ = stream.read(&mut [0; 4096]).await;
                let _ = stream.write_all(answer.as_bytes()).await;
                let _ = stream.shutdown().await;
            }
        });
        Self { address, handshakes, accepting }
    }

    pub(crate) fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    pub(crate) fn handshakes(&self) -> Vec<HandshakeKind> {
        self.handshakes.lock().unwrap().clone()
    }
}

impl Drop for TlsStub {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}
