//! `HdrHistogram`'s compressed V2 format, with one compressor for a whole log: setting up a new one for each line took
//! longer than the compression itself.

use std::fmt;
use std::io::{self, Write};

use flate2::{Compress, Compression, FlushCompress, Status};
use hdrhistogram::serialization::{Serializer, V2SerializeError, V2Serializer};
use hdrhistogram::{Counter, Histogram};

/// Marks a compressed V2 histogram (`V2_COMPRESSED_COOKIE` of the format).
const COOKIE: u32 = 0x1c84_9304 | 0x10;

/// Writes the bytes that `V2DeflateSerializer` of the `hdrhistogram` crate writes.
pub(crate) struct Deflater {
    inner: V2Serializer,
    compress: Compress,
    plain: Vec<u8>,
    compressed: Vec<u8>,
}

/// Why a histogram was not written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DeflateError {
    #[error("a histogram cannot be encoded: {0}")]
    Encode(V2SerializeError),
    #[error("a histogram cannot be compressed")]
    Compress(#[from] flate2::CompressError),
    #[error("a histogram cannot be written")]
    Write(#[from] io::Error),
}

impl Default for Deflater {
    fn default() -> Self {
        let compress = Compress::new(Compression::default(), true); // with a zlib header
        Self { inner: V2Serializer::new(), compress, plain: Vec::new(), compressed: Vec::new() }
    }
}

impl fmt::Debug for Deflater {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deflater").finish_non_exhaustive()
    }
}

impl Serializer for Deflater {
    type SerializeError = DeflateError;

    fn serialize<T: Counter, W: Write>(&mut self, h: &Histogram<T>, writer: &mut W) -> Result<usize, DeflateError> {
        self.plain.clear();
        self.inner.serialize(h, &mut self.plain).map_err(DeflateError::Encode)?;
        self.compressed.clear();
        self.compress.reset();
        loop {
            self.compressed.reserve(self.plain.len() / 2 + 256);
            let rest = &self.plain[self.compress.total_in() as usize..];
            if self.compress.compress_vec(rest, &mut self.compressed, FlushCompress::Finish)? == Status::StreamEnd {
                break;
            }
        }
        writer.write_all(&COOKIE.to_be_bytes())?;
        writer.write_all(&(self.compressed.len() as u32).to_be_bytes())?;
        writer.write_all(&self.compressed)?;
        Ok(self.compressed.len() + 8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hdrhistogram::serialization::V2DeflateSerializer;

    #[test]
    fn writes_what_the_crate_writes_and_each_line_stands_alone() {
        let mut ours = Deflater::default();
        for spread in [1, 40, 3_000, 1_000_000] {
            let mut histogram = Histogram::<u32>::new(3).unwrap();
            (0..500_u64).for_each(|i| histogram.record(i * i % 997 * spread).unwrap());
            let (mut got, mut want) = (Vec::new(), Vec::new());
            let length = ours.serialize(&histogram, &mut got).unwrap();
            V2DeflateSerializer::new().serialize(&histogram, &mut want).unwrap();
            assert_eq!((got.len(), got), (length, want), "spread {spread}");
        }
    }
}
