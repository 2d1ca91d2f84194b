//! Where a key goes: Kafka's own hash, so that every client agrees.

/// The 32-bit hash of Kafka's Java client (`Utils.murmur2`).
pub const fn murmur2(bytes: &[u8]) -> i32 {
    const M: u32 = 0x5bd1_e995;
    const SEED: u32 = 0x9747_b28c;
    let len = bytes.len();
    // As in Java, where a length is an `int`.
    let mut h = SEED ^ (len as u32);
    let mut i = 0;
    while i + 4 <= len {
        let mut k = u32::from_le_bytes([bytes[i], bytes[i + 1], bytes[i + 2], bytes[i + 3]]);
        k = k.wrapping_mul(M);
        k ^= k >> 24;
        k = k.wrapping_mul(M);
        h = h.wrapping_mul(M) ^ k;
        i += 4;
    }
    let rest = len - i;
    if rest == 3 {
        h ^= (bytes[i + 2] as u32) << 16;
    }
    if rest >= 2 {
        h ^= (bytes[i + 1] as u32) << 8;
    }
    if rest >= 1 {
        h ^= bytes[i] as u32;
        h = h.wrapping_mul(M);
    }
    h ^= h >> 13;
    h = h.wrapping_mul(M);
    (h ^ (h >> 15)).cast_signed()
}

/// The partition of a key among `partitions` of them; 0 when there are none.
///
/// For topics placed by workspace the key given here is the workspace, not the record's key.
pub const fn partition_of(key: &[u8], partitions: i32) -> i32 {
    if partitions < 1 { 0 } else { (murmur2(key) & i32::MAX) % partitions }
}

/// How a delivery travels (R13).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lane {
    /// Tests and staff: waits behind nobody else's backlog.
    First,
    /// What comes live.
    Live,
    /// Labelled loads: read at a bounded rate.
    Slow,
}

/// The partition of a delivery in the raw topic: the first one is the lane of tests, the last one that of labelled
/// loads, and those between share what comes live by the delivery's hash. With two partitions tests go with what is live,
/// and with one there is no lane.
pub const fn raw_partition(key: &[u8], partitions: i32, lane: Lane) -> i32 {
    match (partitions, lane) {
        (..=1, _) => 0,
        (_, Lane::Slow) => partitions - 1,
        (2, _) | (_, Lane::First) => 0,
        (_, Lane::Live) => 1 + partition_of(key, partitions - 2),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `org.apache.kafka.common.utils.Utils` of kafka-clients 4.3.1 said: key, hash, partition of 4 and of 12.
    const JAVA: &[(&str, i32, i32, i32)] = &[
        ("", 275_646_681, 1, 9),
        ("a", -1_563_381_124, 0, 4),
        ("ab", 316_155_434, 2, 2),
        ("abc", 479_470_107, 3, 3),
        ("demo", 684_571_411, 3, 7),
        ("21", -973_932_308, 0, 0),
        ("foobar", -790_332_482, 2, 6),
        ("a-little-bit-long-string", -985_981_536, 0, 8),
        ("a-little-bit-longer-string", -1_486_304_829, 3, 11),
        ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971, 1, 5),
        ("acme-staging", -1_348_875_790, 2, 10),
        ("wörkspace", -739_398_302, 2, 6),
        ("demo:5678901234", -295_446_716, 0, 0),
    ];

    #[test]
    fn a_key_goes_where_the_java_client_would_put_it() {
        for (key, hash, of_4, of_12) in JAVA {
            assert_eq!(murmur2(key.as_bytes()), *hash, "{key}");
            assert_eq!(partition_of(key.as_bytes(), 4), *of_4, "{key}");
            assert_eq!(partition_of(key.as_bytes(), 12), *of_12, "{key}");
        }
        assert_eq!(murmur2(&[0xff, 0x80, 0x7f, 0, 0xfe]), -1_958_495_739);
    }

    #[test]
    fn each_lane_has_a_partition_of_its_own_where_there_are_three() {
        for partitions in 3..=12 {
            assert_eq!(raw_partition(b"any", partitions, Lane::First), 0);
            assert_eq!(raw_partition(b"any", partitions, Lane::Slow), partitions - 1);
            let live = |n: i32| raw_partition(&n.to_be_bytes(), partitions, Lane::Live);
            let used: std::collections::BTreeSet<i32> = (0..1_000).map(live).collect();
            assert_eq!(used, (1..partitions - 1).collect());
        }
        for (partitions, expected) in [(0, [0, 0, 0]), (1, [0, 0, 0]), (2, [0, 0, 1])] {
            let of = [Lane::First, Lane::Live, Lane::Slow].map(|lane| raw_partition(b"a", partitions, lane));
            assert_eq!(of, expected, "{partitions}");
        }
    }

    #[test]
    fn no_partitions_is_no_panic() {
        assert_eq!(partition_of(b"a", 0), 0);
        assert_eq!(partition_of(b"a", -1), 0);
    }
}
