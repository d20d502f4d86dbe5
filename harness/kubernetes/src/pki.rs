//! The control plane's own authority and the certificates that it vouches for: who is who among its parts.
//!
//! Owns least privilege: each component has the identity that Kubernetes' own roles are made for, and nobody else can
//! speak to etcd. Keys live in the control plane's folder, which is its user's alone, and as long as it.

use std::fs;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use k8s_openapi::jiff::Timestamp;
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

use crate::KubeError;

/// An authority that writes what it vouches for into a folder.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: Certificate,
    folder: PathBuf,
}

/// Where a certificate and its key are.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

impl Authority {
    /// Makes one, with its certificate in `NAME.crt`. Its key is kept nowhere.
    pub(crate) fn new(folder: &Path, name: &str) -> Result<Self, KubeError> {
        let mut params = CertificateParams::new(Vec::new()).map_err(wrong)?;
        params.distinguished_name.push(DnType::CommonName, format!("rehearse: {name}"));
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().map_err(wrong)?;
        let certificate = params.self_signed(&key).map_err(wrong)?;
        write(&folder.join(format!("{name}.crt")), &certificate.pem())?;
        Ok(Self { issuer: Issuer::new(params, key), certificate, folder: folder.to_owned() })
    }

    /// The authority's own certificate.
    pub(crate) fn der(&self) -> Vec<u8> {
        self.certificate.der().to_vec()
    }

    /// The same as PEM.
    pub(crate) fn pem(&self) -> String {
        self.certificate.pem()
    }

    /// Vouches for a server that is reached by these names and addresses, and for it as a client.
    pub(crate) fn server(&self, name: &str, hosts: &[&str]) -> Result<Identity, KubeError> {
        let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
        let mut params = CertificateParams::new(hosts).map_err(wrong)?;
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        self.vouch(name, &params)
    }

    /// Vouches for a client: `CN` is its user name, `O` its group.
    pub(crate) fn client(&self, file: &str, user: &str, group: Option<&str>) -> Result<Identity, KubeError> {
        let mut params = CertificateParams::new(Vec::new()).map_err(wrong)?;
        params.distinguished_name.push(DnType::CommonName, user);
        if let Some(group) = group {
            params.distinguished_name.push(DnType::OrganizationName, group);
        }
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.vouch(file, &params)
    }

    fn vouch(&self, file: &str, params: &CertificateParams) -> Result<Identity, KubeError> {
        let key = KeyPair::generate().map_err(wrong)?;
        let certificate = params.signed_by(&key, &self.issuer).map_err(wrong)?;
        let identity = Identity {
            certificate: self.folder.join(format!("{file}.crt")),
            key: self.folder.join(format!("{file}.key")),
        };
        write(&identity.certificate, &certificate.pem())?;
        write(&identity.key, &key.serialize_pem())?;
        Ok(identity)
    }
}

/// Until when a certificate (DER) is good: `notAfter` of RFC 5280, section 4.1.
pub(crate) fn not_after(certificate: &[u8]) -> Option<Timestamp> {
    let (_, certificate, _) = element(certificate)?;
    let (_, fields, _) = element(certificate)?;
    // Its version is left out where it is the first; then come serial number, algorithm and issuer.
    let (tag, _, behind) = element(fields)?;
    let mut rest = if tag == 0xa0 { behind } else { fields };
    for _ in 0..3 {
        rest = element(rest)?.2;
    }
    let (_, validity, _) = element(rest)?;
    let (_, _, rest) = element(validity)?;
    let (tag, until, _) = element(rest)?;
    let until = std::str::from_utf8(until).ok()?.strip_suffix('Z')?;
    // A `UTCTime` has two digits for the year, and 50 is 1950.
    let century = match until.get(..2)? {
        _ if tag != 0x17 => "",
        year if year < "50" => "20",
        _ => "19",
    };
    let (day, time) = until.split_at_checked(until.len().checked_sub(6)?)?;
    format!("{century}{day}T{time}Z").parse().ok()
}

/// The first element of a DER text: its tag, what is in it, and what is behind it.
fn element(text: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, rest) = text.split_first()?;
    let (length, rest) = rest.split_first()?;
    let (length, rest) = match length.checked_sub(0x80) {
        None => (usize::from(*length), rest),
        Some(digits) => {
            let (digits, rest) = rest.split_at_checked(usize::from(digits))?;
            (digits.iter().try_fold(0_usize, |sum, digit| Some(sum.checked_mul(256)? + usize::from(*digit)))?, rest)
        }
    };
    let (inside, behind) = rest.split_at_checked(length)?;
    Some((*tag, inside, behind))
}

/// A key without a certificate, in `NAME.key` and `NAME.pub`: tokens of service accounts are signed with it.
pub(crate) fn key(folder: &Path, name: &str) -> Result<(), KubeError> {
    let key = KeyPair::generate().map_err(wrong)?;
    write(&folder.join(format!("{name}.pub")), &key.public_key_pem())?;
    write(&folder.join(format!("{name}.key")), &key.serialize_pem())
}

/// A file that its owner alone can read.
pub(crate) fn write(path: &Path, content: &str) -> Result<(), KubeError> {
    let written = || {
        let mut file = fs::OpenOptions::new().create_new(true).write(true).mode(0o600).open(path)?;
        io::Write::write_all(&mut file, content.as_bytes())
    };
    written().map_err(|source| KubeError::Folder { path: path.to_owned(), source })
}

#[expect(clippy::needless_pass_by_value, reason = "a function to map errors with")]
fn wrong(source: rcgen::Error) -> KubeError {
    KubeError::Certificate(source.to_string())
}
