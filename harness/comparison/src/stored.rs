//! A histogram as text: HdrHistogram's compressed V2 format in base64, as interval logs have it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Deserializer, Serializer, V2DeflateSerializer};

/// The text of a histogram; nothing where it cannot be encoded, which three digits always can.
pub(crate) fn encode(histogram: &Histogram<u32>) -> String {
    let mut bytes = Vec::new();
    match V2DeflateSerializer::new().serialize(histogram, &mut bytes) {
        Ok(_) => STANDARD.encode(bytes),
        Err(_) => String::new(),
    }
}

/// The reverse; `None` for what is no histogram.
pub(crate) fn decode(text: &str) -> Option<Histogram<u32>> {
    decode_with(&mut Deserializer::new(), text)
}

/// The same with a decoder that is used again and again.
pub(crate) fn decode_with(decoder: &mut Deserializer, text: &str) -> Option<Histogram<u32>> {
    let bytes = STANDARD.decode(text).ok()?;
    decoder.deserialize(&mut bytes.as_slice()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_survives_and_rubbish_does_not() {
        let mut histogram = Histogram::<u32>::new(3).unwrap();
        (1..5_000_u64).for_each(|value| histogram.record(value * 37).unwrap());
        assert_eq!(decode(&encode(&histogram)).unwrap(), histogram);
        for rubbish in ["", "no base64!", "AAAA"] {
            assert!(decode(rubbish).is_none(), "{rubbish}");
        }
    }
}
