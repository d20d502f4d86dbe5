//! Bodies of answers: JSON of the profile's size, the same for the same request, and consistent from one to the next.

use bytes::Bytes as Body;
use fake::Fake;
use fake::faker::company::en::CompanyName;
use fake::faker::internet::en::SafeEmail;
use fake::faker::name::en::Name;
use fake::rand::SeedableRng;
use fake::rand::rngs::StdRng;
use hyper::StatusCode;
use model::Content;
use record::token;
use serde_json::{Map, Value, json};
use units::{Bytes, Draw, Purpose, RequestId, Seed};

use crate::Records;

/// A request, as far as its answer depends on it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked<'a> {
    pub(crate) seed: Seed,
    pub(crate) id: RequestId,
    /// `Authorization`, as sent.
    pub(crate) authorization: Option<&'a str>,
    pub(crate) path: &'a str,
    pub(crate) body: &'a [u8],
}

/// What to answer: a status where it is not what the route's own fate says, and the body.
pub(crate) fn answer(
    asked: &Asked<'_>,
    content: Option<&Content>,
    size: Bytes,
    records: &Records,
) -> (Option<StatusCode>, Body) {
    let draw = asked.seed.draw(asked.id, Purpose::Payload);
    let known = asked.authorization.and_then(|text| token::check(asked.seed, text));
    // Who shows no token shares one account with all who do not.
    let owner = known.unwrap_or(u64::MAX);
    match content {
        None => (None, padded(&mut thing(draw), size)),
        Some(Content::IssuesToken) => {
            let user = posted(asked.body).and_then(|body| Some(subject(body.get("username")?.as_str()?)));
            let token = token::issue(asked.seed, user.unwrap_or_else(|| draw.bits()));
            let answer = json!({"access_token": token, "token_type": "bearer", "expires_in": 3_600});
            (None, padded(&mut object(answer), size))
        }
        Some(Content::ChecksToken) => match known {
            Some(subject) => {
                (None, padded(&mut object(json!({"active": true, "sub": format!("{subject:016x}")})), size))
            }
            None => (Some(StatusCode::UNAUTHORIZED), Body::from_static(b"{\"detail\":\"Not authenticated\"}")),
        },
        Some(Content::Creates(collection)) => {
            let mut record = thing(draw);
            record.extend(posted(asked.body).unwrap_or_default());
            record.insert("id".to_owned(), identity(draw));
            records.add(collection, owner, record.clone());
            (None, padded(&mut record, size))
        }
        Some(Content::Lists(collection)) => (None, list(records.of(collection, owner), asked.seed, owner, size)),
        Some(Content::Shows(collection)) => {
            let id = asked.path.rsplit('/').next().unwrap_or_default();
            let mut record = records.one(collection, owner, id).unwrap_or_else(|| {
                let mut made_up = thing(asked.seed.draw_nth(subject(id), Purpose::Payload));
                made_up.insert("id".to_owned(), Value::from(id));
                made_up
            });
            (None, padded(&mut record, size))
        }
    }
}

/// The number that stands for a name.
fn subject(name: &str) -> u64 {
    Seed::new(0).child(name).get()
}

fn identity(draw: Draw) -> Value {
    Value::from(format!("{:016x}", draw.bits()))
}

/// What was posted, if it is a JSON object of a modest size.
fn posted(body: &[u8]) -> Option<Map<String, Value>> {
    const MOST: usize = 4 << 10;
    if body.len() > MOST {
        return None;
    }
    serde_json::from_slice(body).ok()
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

/// Somebody, somewhere, who paid something.
fn thing(draw: Draw) -> Map<String, Value> {
    let mut rng = StdRng::seed_from_u64(draw.bits());
    let name: String = Name().fake_with_rng(&mut rng);
    let email: String = SafeEmail().fake_with_rng(&mut rng);
    let merchant: String = CompanyName().fake_with_rng(&mut rng);
    let pence: u32 = (100..500_000_u32).fake_with_rng(&mut rng);
    let amount = format!("{}.{:02}", pence / 100, pence % 100);
    object(json!({
        "id": identity(draw), "name": name, "email": email, "merchant": merchant, "amount": amount, "currency": "GBP",
    }))
}

/// The newest first, then what has always been there, as far as the size goes.
fn list(newest: Vec<Map<String, Value>>, seed: Seed, owner: u64, size: Bytes) -> Body {
    let before = (0..).map(|nth| thing(seed.child_nth(owner).draw_nth(nth, Purpose::Payload)));
    let mut items: Vec<Value> = Vec::new();
    let mut length = 0;
    // What was created is listed, whatever the size; the rest fills it up.
    let created = newest.len();
    for item in newest.into_iter().chain(before) {
        let item = Value::Object(item);
        length += item.to_string().len() + 1;
        if items.len() >= created && length + 64 > size.get() as usize {
            break;
        }
        items.push(item);
    }
    padded(&mut object(json!({"items": items})), size)
}

/// An object of the asked size, never less than its fields need.
fn padded(object: &mut Map<String, Value>, size: Bytes) -> Body {
    object.insert("note".to_owned(), Value::from(""));
    let text = Value::Object(std::mem::take(object)).to_string();
    let rest = (size.get() as usize).saturating_sub(text.len());
    // The note is not always last: keys are in order.
    Body::from(text.replacen("\"note\":\"\"", &format!("\"note\":\"{}\"", ".".repeat(rest)), 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEED: Seed = Seed::new(1);

    #[expect(clippy::needless_pass_by_value, reason = "each is made for its call")]
    fn ask(
        number: u64,
        content: Option<Content>,
        authorization: &str,
        body: &str,
        records: &Records,
    ) -> (Option<u16>, Value) {
        let asked = Asked {
            seed: SEED,
            id: RequestId::of_step(number, 0),
            authorization: Some(authorization),
            path: "/transactions/abc",
            body: body.as_bytes(),
        };
        let (status, body) = answer(&asked, content.as_ref(), Bytes::new(900), records);
        assert!(status.is_some() || body.len() >= 900, "{body:?}");
        (status.map(|status| status.as_u16()), serde_json::from_slice(&body).unwrap())
    }

    #[test]
    fn the_same_request_gets_the_same_body_of_the_asked_size() {
        let body = |number| {
            let asked =
                Asked { seed: SEED, id: RequestId::of_step(number, 0), authorization: None, path: "/", body: b"" };
            answer(&asked, None, Bytes::new(1_024), &Records::default()).1
        };
        assert_eq!(body(1).len(), 1_024);
        assert_eq!(body(1), body(1));
        assert_ne!(body(1), body(2));
    }

    #[test]
    fn the_token_that_is_issued_is_the_token_that_is_checked() {
        let records = Records::default();
        let (_, issued) =
            ask(1, Some(Content::IssuesToken), "", r#"{"username":"ada@example.com","password":"x"}"#, &records);
        let bearer = format!("Bearer {}", issued["access_token"].as_str().unwrap());
        let (status, checked) = ask(2, Some(Content::ChecksToken), &bearer, "", &records);
        assert_eq!((status, &checked["active"]), (None, &Value::from(true)));
        for wrong in ["", "Bearer rh.0.0", &bearer[..bearer.len() - 1]] {
            assert_eq!(ask(3, Some(Content::ChecksToken), wrong, "", &records).0, Some(401), "{wrong}");
        }
    }

    #[test]
    fn what_is_created_is_listed_to_its_owner() {
        let records = Records::default();
        let (ada, bob) = (token::bearer(SEED, 1), token::bearer(SEED, 2));
        let creates = || Some(Content::Creates("transactions".into()));
        let lists = || Some(Content::Lists("transactions".into()));
        let (_, created) = ask(1, creates(), &ada, r#"{"amount":"12.34","merchant":"Corner Shop"}"#, &records);
        assert_eq!((&created["amount"], &created["currency"]), (&Value::from("12.34"), &Value::from("GBP")));
        let (_, listed) = ask(2, lists(), &ada, "", &records);
        assert_eq!(listed["items"][0]["id"], created["id"]);
        assert_eq!(listed["items"][0]["merchant"], "Corner Shop");
        let (_, others) = ask(3, lists(), &bob, "", &records);
        assert!(others["items"].as_array().unwrap().iter().all(|item| item["id"] != created["id"]));
        assert_eq!(others, ask(4, lists(), &bob, "", &records).1, "and what was there before stays");
        let (_, shown) = ask(5, Some(Content::Shows("transactions".into())), &ada, "", &records);
        assert_eq!(shown["id"], "abc");
    }
}
