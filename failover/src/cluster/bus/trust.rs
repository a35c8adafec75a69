//! The certificate authorities that a bus trusts.

use std::fmt;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

use crate::cluster::bus::error::BusError;

/// The certificate authorities that a bus trusts: by default the system's, read at the first connection
/// by TLS.
#[derive(Clone, Default)]
pub struct Trust(Option<Arc<ClientConfig>>);

impl Trust {
    /// Trusts the authorities of a PEM text, and no others.
    ///
    /// # Errors
    /// If there is no certificate in it, or one that can't be used.
    pub fn authorities(pem: &[u8]) -> Result<Self, BusError> {
        let wrong = |problem: String| BusError::Authorities(problem);
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let certificate = certificate.map_err(|error| wrong(error.to_string()))?;
            roots.add(certificate).map_err(|error| wrong(error.to_string()))?;
        }
        if roots.is_empty() {
            return Err(wrong("there is no certificate".to_owned()));
        }
        config(roots).map(|config| Self(Some(config))).map_err(wrong)
    }

    /// The configuration of TLS, without certificates of our own.
    pub(super) fn config(&mut self) -> Result<Arc<ClientConfig>, String> {
        if let Some(config) = &self.0 {
            return Ok(Arc::clone(config));
        }
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if roots.is_empty() {
            return Err("the system has no certificate authorities".to_owned());
        }
        let config = config(roots)?;
        self.0 = Some(Arc::clone(&config));
        Ok(config)
    }
}

fn config(roots: RootCertStore) -> Result<Arc<ClientConfig>, String> {
    // The provider is named, since a program may link several and then none is the default.
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trust").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::Trust;

    #[test]
    fn a_text_without_a_certificate_is_refused_with_what_is_right() {
        for pem in ["", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
            let error = Trust::authorities(pem.as_bytes()).map(drop).unwrap_err().to_string();
            assert!(error.contains("expected one or more certificates in PEM"), "{error}");
        }
    }
}
