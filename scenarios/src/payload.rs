//! What requests carry: made up by `fake`, the same for the same seed and request.

use fake::Fake;
use fake::faker::company::en::CompanyName;
use fake::faker::internet::en::SafeEmail;
use fake::faker::lorem::en::{Sentence, Words};
use fake::faker::name::en::{FirstName, LastName};
use fake::rand::SeedableRng;
use fake::rand::rngs::Xoshiro256PlusPlus;
use serde::{Deserialize, Serialize};
use units::{Bytes, Purpose, RequestId, Seed};

/// What a step's requests carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payload {
    /// Of what kind.
    pub kind: PayloadKind,
    /// How large the body is; what the kind needs if there is nothing here.
    pub size: Option<Bytes>,
}

/// Kinds of bodies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PayloadKind {
    /// Somebody who registers.
    User,
    /// An address and a password.
    Credentials,
    /// A payment.
    Transaction,
    /// A question to the advisor.
    Chat,
    /// Which account to fetch.
    BankSync,
    /// A quarter's figures.
    TaxSubmission,
    /// A file; 100 KiB unless it says otherwise.
    Document,
}

/// A document without a size. Assumed: a scanned page.
const DOCUMENT: Bytes = Bytes::new(100 << 10);

impl Payload {
    /// How large its bodies are: exactly if it has a size or is a document, about so otherwise.
    pub fn size(&self) -> Bytes {
        self.size.unwrap_or(match self.kind {
            PayloadKind::Document => DOCUMENT,
            PayloadKind::User => Bytes::new(140),
            PayloadKind::Credentials => Bytes::new(80),
            PayloadKind::Transaction => Bytes::new(105),
            PayloadKind::Chat => Bytes::new(90),
            PayloadKind::BankSync => Bytes::new(46),
            PayloadKind::TaxSubmission => Bytes::new(67),
        })
    }

    /// Its `content-type`.
    pub const fn content_type(&self) -> &'static str {
        match self.kind {
            PayloadKind::Document => "application/octet-stream",
            _ => "application/json",
        }
    }

    /// The body of one request: a pure function of the seed and the request. A JSON body that has a size is filled up
    /// with blanks behind its end, or is longer than asked for if it needs more.
    pub fn body(&self, seed: Seed, id: RequestId) -> Vec<u8> {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed.draw(id, Purpose::Payload).bits());
        let rng = &mut rng;
        let json = match self.kind {
            PayloadKind::Document => return document(self.size().get() as usize, rng),
            PayloadKind::User => serde_json::json!({
                "email": unique_email(rng, id),
                "firstName": FirstName().fake_with_rng::<String, _>(rng),
                "lastName": LastName().fake_with_rng::<String, _>(rng),
                "password": password(rng),
            }),
            PayloadKind::Credentials => serde_json::json!({
                "username": unique_email(rng, id),
                "password": password(rng),
            }),
            PayloadKind::Transaction => serde_json::json!({
                "amount": cents(rng, 1..50_000),
                "currency": "GBP",
                "merchant": CompanyName().fake_with_rng::<String, _>(rng),
                "description": Words(2..5).fake_with_rng::<Vec<String>, _>(rng).join(" "),
            }),
            PayloadKind::Chat => serde_json::json!({
                "message": Sentence(6..16).fake_with_rng::<String, _>(rng),
            }),
            PayloadKind::BankSync => serde_json::json!({
                "account": format!("GB{:020}", (0_u64..10_u64.pow(18)).fake_with_rng::<u64, _>(rng)),
                "days": (1..91).fake_with_rng::<u32, _>(rng),
            }),
            PayloadKind::TaxSubmission => serde_json::json!({
                "period": format!("2026-Q{}", (1..5).fake_with_rng::<u32, _>(rng)),
                "income": cents(rng, 100_000..5_000_000),
                "expenses": cents(rng, 0..2_000_000),
            }),
        };
        let mut body = json.to_string().into_bytes();
        if let Some(size) = self.size {
            body.resize(body.len().max(size.get() as usize), b' ');
        }
        body
    }
}

/// Two users never have the same address, whatever chance says.
fn unique_email(rng: &mut Xoshiro256PlusPlus, id: RequestId) -> String {
    format!("{id}.{}", SafeEmail().fake_with_rng::<String, _>(rng))
}

fn password(rng: &mut Xoshiro256PlusPlus) -> String {
    (12..20).fake_with_rng(rng)
}

/// An amount of money as text, so that no float rounds it.
fn cents(rng: &mut Xoshiro256PlusPlus, range: std::ops::Range<u32>) -> String {
    let cents: u32 = range.fake_with_rng(rng);
    format!("{}.{:02}", cents / 100, cents % 100)
}

/// Bytes that no compressor makes smaller, behind a PDF's first line.
fn document(size: usize, rng: &mut Xoshiro256PlusPlus) -> Vec<u8> {
    let mut body = vec![0; size];
    fake::rand::Rng::fill_bytes(rng, &mut body);
    let head = b"%PDF-1.7\n";
    let length = head.len().min(size);
    body[..length].copy_from_slice(&head[..length]);
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    const KINDS: [PayloadKind; 7] = [
        PayloadKind::User,
        PayloadKind::Credentials,
        PayloadKind::Transaction,
        PayloadKind::Chat,
        PayloadKind::BankSync,
        PayloadKind::TaxSubmission,
        PayloadKind::Document,
    ];

    #[test]
    fn a_body_follows_from_the_seed_and_the_request() {
        for kind in KINDS {
            let payload = Payload { kind, size: None };
            let body = |seed, request| payload.body(Seed::new(seed), RequestId::of_step(request, 0));
            assert_eq!(body(1, 1), body(1, 1), "{kind:?}");
            assert_ne!(body(1, 1), body(1, 2), "{kind:?}");
            assert_ne!(body(1, 1), body(2, 1), "{kind:?}");
        }
    }

    #[test]
    fn bodies_are_of_about_the_size_that_is_told() {
        for kind in KINDS {
            let payload = Payload { kind, size: None };
            let sizes = (0..200).map(|n| payload.body(Seed::new(1), RequestId::of_step(n, 0)).len() as f64);
            let mean = sizes.sum::<f64>() / 200.0;
            let told = payload.size().get() as f64;
            assert!((mean / told - 1.0).abs() < 0.25, "{kind:?}: {mean} and not {told}");
        }
        for kind in [PayloadKind::Chat, PayloadKind::Document] {
            let payload = Payload { kind, size: Some(Bytes::new(5_000)) };
            assert_eq!(payload.body(Seed::new(1), RequestId::of_step(1, 0)).len(), 5_000, "{kind:?}");
        }
    }
}
