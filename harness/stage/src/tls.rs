//! TLS at the edge: an authority of this run's own, and a certificate for the hosts of its Ingress objects.
//!
//! Owns keys that live as long as the run and are written nowhere; only the authority's certificate is handed out, for
//! clients that want to verify.

use std::fmt;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use server::tls::pki_types::PrivatePkcs8KeyDer;
use server::tls::{Acceptor, ClientConfig, Connector, RootCertStore, ServerConfig, aws_lc_rs};

use crate::StageError;

/// What both ends of TLS need.
#[derive(Clone)]
pub(crate) struct Authority {
    /// The certificate of the authority, as PEM.
    pub(crate) ca_pem: String,
    /// Vouches for the hosts.
    pub(crate) acceptor: Acceptor,
    /// Believes this authority and no other.
    pub(crate) connector: Connector,
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority").finish_non_exhaustive()
    }
}

impl Authority {
    /// Makes an authority and lets it vouch for `hosts`.
    pub(crate) fn new(hosts: &[String]) -> Result<Self, StageError> {
        let wrong = |source: rcgen::Error| StageError::Certificate(source.to_string());
        let refused = |source: server::tls::Error| StageError::Certificate(source.to_string());
        let mut params = CertificateParams::new(Vec::new()).map_err(wrong)?;
        params.distinguished_name.push(DnType::CommonName, "rehearse: the authority of one run");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let ca_key = KeyPair::generate().map_err(wrong)?;
        let ca = params.self_signed(&ca_key).map_err(wrong)?;
        let issuer = Issuer::new(params, ca_key);
        let key = KeyPair::generate().map_err(wrong)?;
        let certificate =
            CertificateParams::new(hosts).and_then(|params| params.signed_by(&key, &issuer)).map_err(wrong)?;
        // The provider is named, so that nobody has to install one for the whole process first.
        let provider = Arc::new(aws_lc_rs::default_provider());
        let private = PrivatePkcs8KeyDer::from(key.serialize_der()).into();
        let server = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(refused)?
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone(), ca.der().clone()], private)
            .map_err(refused)?;
        let mut roots = RootCertStore::empty();
        roots.add(ca.der().clone()).map_err(refused)?;
        let client = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(refused)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self {
            ca_pem: ca.pem(),
            acceptor: Acceptor::from(Arc::new(server)),
            connector: Connector::from(Arc::new(client)),
        })
    }
}
