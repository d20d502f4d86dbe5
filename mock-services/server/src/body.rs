//! Bodies of answers: JSON of the profile's size, the same for the same request.

use bytes::Bytes as Body;
use fake::Fake;
use fake::faker::company::en::CompanyName;
use fake::faker::internet::en::SafeEmail;
use fake::faker::name::en::Name;
use fake::rand::SeedableRng;
use fake::rand::rngs::StdRng;
use units::{Bytes, Draw};

/// A JSON object of about `size` bytes, never less than its fields need.
pub(crate) fn json(draw: Draw, size: Bytes) -> Body {
    let mut rng = StdRng::seed_from_u64(draw.bits());
    let name: String = Name().fake_with_rng(&mut rng);
    let email: String = SafeEmail().fake_with_rng(&mut rng);
    let merchant: String = CompanyName().fake_with_rng(&mut rng);
    let pence: u32 = (100..500_000_u32).fake_with_rng(&mut rng);
    let mut text = format!(
        r#"{{"id":"{:016x}","name":"{name}","email":"{email}","merchant":"{merchant}","amount":"{}.{:02}","currency":"GBP","note":""#,
        draw.bits(),
        pence / 100,
        pence % 100,
    );
    let rest = (size.get() as usize).saturating_sub(text.len() + 2);
    text.extend(std::iter::repeat_n('.', rest));
    text.push_str("\"}");
    Body::from(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use units::{Purpose, RequestId, Seed};

    #[test]
    fn the_same_request_gets_the_same_body_of_the_asked_size() {
        let draw = |arrival| Seed::new(1).draw(RequestId::of_step(arrival, 0), Purpose::Payload);
        let body = json(draw(1), Bytes::new(1_024));
        assert_eq!(body.len(), 1_024);
        assert_eq!(body, json(draw(1), Bytes::new(1_024)));
        assert_ne!(body, json(draw(2), Bytes::new(1_024)));
        assert!(body.starts_with(b"{\"id\":\"") && body.ends_with(b"\"}"));
    }
}
