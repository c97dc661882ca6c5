//! Throw-away certificates, and the TLS provider that every client needs.

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

/// Makes `ring` this process's TLS provider; a second call changes nothing.
///
/// HTTP clients need it even for plain `http://` addresses. Services do this in `main`, tests here.
pub fn install_tls_provider() {
    // An error means that one is installed already, which is what was wanted.
    drop(rustls::crypto::ring::default_provider().install_default());
}

/// A certificate authority that exists only in this process.
#[derive(Debug)]
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// A server's (or client's) certificate with its key and the authority that signed it, all PEM.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The authority's certificate: what the other side must trust.
    pub authority_pem: String,
    /// The certificate itself.
    pub certificate_pem: String,
    /// Its private key.
    pub key_pem: String,
}

impl Authority {
    /// Makes a new authority.
    ///
    /// # Panics
    /// Never in practice: key generation needs only the system's random numbers.
    #[must_use]
    pub fn new() -> Self {
        let key = KeyPair::generate().expect("key generation");
        let mut params = CertificateParams::new(Vec::new()).expect("no names to refuse");
        // Authority and leaf need different subject names, or OpenSSL takes the leaf for self-signed.
        params.distinguished_name.push(DnType::CommonName, "MUTT test authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).expect("self-signing").pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// The authority's certificate, PEM.
    #[must_use]
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// Issues a certificate for these names and addresses, the first of them its common name.
    ///
    /// # Panics
    /// When a name is not valid in a certificate.
    #[must_use]
    pub fn issue(&self, names: &[&str]) -> Identity {
        let key = KeyPair::generate().expect("key generation");
        let all = names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        let mut params = CertificateParams::new(all).expect("valid names");
        params.distinguished_name.push(DnType::CommonName, names.first().copied().unwrap_or("mutt"));
        let certificate = params.signed_by(&key, &self.issuer).expect("signing");
        Identity {
            authority_pem: self.pem.clone(),
            certificate_pem: certificate.pem(),
            key_pem: key.serialize_pem(),
        }
    }

    /// Issues a certificate for a server on loopback.
    #[must_use]
    pub fn issue_for_loopback(&self) -> Identity {
        self.issue(&["localhost", "127.0.0.1"])
    }
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}
