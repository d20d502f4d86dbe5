//! CRC-32 and the ring of `hash … consistent` (ketama), as `ngx_http_upstream_hash_module.c` has them.

use platform::UpstreamServer;

const TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut index = 0;
    while index < 256 {
        let mut value = index as u32;
        let mut bit = 0;
        while bit < 8 {
            value = if value & 1 == 1 { value >> 1 ^ 0xedb8_8320 } else { value >> 1 };
            bit += 1;
        }
        table[index] = value;
        index += 1;
    }
    table
};

fn update(crc: u32, bytes: &[u8]) -> u32 {
    bytes.iter().fold(crc, |crc, byte| crc >> 8 ^ TABLE[((crc ^ u32::from(*byte)) & 0xff) as usize])
}

/// The CRC-32 of IEEE 802.3 over pieces.
pub(crate) fn crc32(pieces: &[&[u8]]) -> u32 {
    !pieces.iter().fold(u32::MAX, |crc, piece| update(crc, piece))
}

/// Points for each unit of weight.
const POINTS: u32 = 160;
/// A weight beyond this adds no points: a ring is memory.
const WEIGHT_MAX: u32 = 1_000;

/// Points in order, each with its server.
#[derive(Debug, Default)]
pub(crate) struct Ring(Vec<(u32, usize)>);

impl Ring {
    pub(crate) fn new(servers: &[UpstreamServer]) -> Self {
        let mut points = Vec::new();
        for (index, server) in servers.iter().enumerate() {
            let port = if server.port == 0 { String::new() } else { server.port.to_string() };
            let base = update(u32::MAX, server.host.as_bytes());
            let base = update(update(base, &[0]), port.as_bytes());
            let mut previous = 0_u32;
            for _ in 0..server.weight.min(WEIGHT_MAX) * POINTS {
                previous = !update(base, &previous.to_le_bytes());
                points.push((previous, index));
            }
        }
        points.sort_by_key(|(hash, _)| *hash);
        points.dedup_by_key(|(hash, _)| *hash);
        Self(points)
    }

    /// Servers around the ring from a hash on.
    pub(crate) fn from(&self, hash: u32) -> impl Iterator<Item = usize> {
        let start = self.0.partition_point(|(point, _)| *point < hash);
        let (before, after) = self.0.split_at(start);
        after.iter().chain(before).map(|(_, server)| *server)
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_check_value_of_crc_32() {
        assert_eq!(super::crc32(&[b"1234", b"56789"]), 0xcbf4_3926);
    }
}
