//! Avro's binary encoding of the domain's records, in the field order of `schemas/avro`.
//!
//! These bytes are written and read several times per event, and serde finds each field by its name. Here the order
//! of the fields is compiled in, which is right as long as it is the order of the schema: a test of `topics` encodes
//! and decodes every record with a codec that goes by the schema and compares. A reader whose writer had another
//! schema can't use this and goes by the schema.
//!
//! Bad bytes give [`Malformed`]; no length that they claim is believed before the bytes are there.

mod records;

use std::collections::BTreeMap;

/// Bytes that aren't what the schema says.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(&'static str);

const SHORT: Malformed = Malformed("the value ends too early");

/// A type that is written as an Avro datum.
pub trait Write {
    /// Appends the datum.
    fn write(&self, out: &mut Vec<u8>);
}

/// A type that is read from an Avro datum.
pub trait Read: Sized {
    /// Takes the datum off the front of the input.
    fn read(input: &mut Input<'_>) -> Result<Self, Malformed>;
}

/// A type whose datum can be passed over without keeping anything of it.
trait Skip {
    fn skip(input: &mut Input<'_>) -> Result<(), Malformed>;
}

/// The root record of a topic.
pub trait Record {
    /// The name of its schema.
    const NAME: &'static str;
}

/// A root record that is written and read here.
pub trait Datum: Write + Read + Record {}

impl<T: Write + Read + Record> Datum for T {}

/// A datum that is encoded already: spliced in where the same value is written several times.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Encoded<'a>(pub &'a [u8]);

impl Write for Encoded<'_> {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.0);
    }
}

/// What is left of the bytes.
#[derive(Debug)]
pub struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    /// The whole datum.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// What hasn't been read.
    pub const fn rest(&self) -> &'a [u8] {
        self.0
    }

    fn byte(&mut self) -> Result<u8, Malformed> {
        let (first, rest) = self.0.split_first().ok_or(SHORT)?;
        self.0 = rest;
        Ok(*first)
    }

    fn long(&mut self) -> Result<i64, Malformed> {
        if let Some((byte @ 0..0x80, rest)) = self.0.split_first() {
            self.0 = rest;
            return Ok(i64::from(byte >> 1) ^ -i64::from(byte & 1));
        }
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok((value >> 1).cast_signed() ^ -(value & 1).cast_signed());
            }
        }
        Err(Malformed("a number of more than 64 bits"))
    }

    fn bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let length = usize::try_from(self.long()?).map_err(|_| Malformed("a negative length"))?;
        let (bytes, rest) = self.0.split_at_checked(length).ok_or(SHORT)?;
        self.0 = rest;
        Ok(bytes)
    }

    fn text(&mut self) -> Result<&'a str, Malformed> {
        std::str::from_utf8(self.bytes()?).map_err(|_| Malformed("text that isn't UTF-8"))
    }

    /// The blocks of an array or a map: calls `element` for each.
    fn elements(
        &mut self,
        mut element: impl FnMut(&mut Self) -> Result<(), Malformed>,
    ) -> Result<(), Malformed> {
        loop {
            let count = self.long()?;
            if count == 0 {
                return Ok(());
            }
            if count < 0 {
                // A negative count is followed by the size of the block in bytes.
                self.long()?;
            }
            for _ in 0..count.unsigned_abs() {
                // Each element takes a byte at least, so a damaged count ends with the bytes.
                element(self)?;
            }
        }
    }
}

fn write_long(value: i64, out: &mut Vec<u8>) {
    let mut rest = ((value << 1) ^ (value >> 63)).cast_unsigned();
    if rest < 0x80 {
        // Most are lengths, branches and flags: one byte.
        out.push(rest as u8);
        return;
    }
    let mut buffer = [0_u8; 10];
    let mut length = 0;
    for slot in &mut buffer {
        length += 1;
        // Seven bits at a time, so the cast keeps all of them.
        *slot = (rest & 0x7f) as u8;
        rest >>= 7;
        if rest == 0 {
            break;
        }
        *slot |= 0x80;
    }
    out.extend_from_slice(&buffer[..length]);
}

fn write_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    write_count(bytes.len(), out);
    out.extend_from_slice(bytes);
}

fn write_count(count: usize, out: &mut Vec<u8>) {
    // What is in memory has a length below 2^63.
    write_long(i64::try_from(count).unwrap_or(i64::MAX), out);
}

impl Write for i64 {
    fn write(&self, out: &mut Vec<u8>) {
        write_long(*self, out);
    }
}

impl Read for i64 {
    fn read(input: &mut Input<'_>) -> Result<Self, Malformed> {
        input.long()
    }
}

impl Write for i32 {
    fn write(&self, out: &mut Vec<u8>) {
        write_long(i64::from(*self), out);
    }
}

impl Read for i32 {
    fn read(input: &mut Input<'_>) -> Result<Self, Malformed> {
        Self::try_from(input.long()?).map_err(|_| Malformed("an int of more than 32 bits"))
    }
}

impl Write for bool {
    fn write(&self, out: &mut Vec<u8>) {
        out.push(u8::from(*self));
    }
}

impl Read for bool {
    fn read(input: &mut Input<'_>) -> Result<Self, Malformed> {
        match input.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Malformed("a boolean that is neither 0 nor 1")),
        }
    }
}

impl Write for str {
    fn write(&self, out: &mut Vec<u8>) {
        write_bytes(self.as_bytes(), out);
    }
}

impl Write for String {
    fn write(&self, out: &mut Vec<u8>) {
        write_bytes(self.as_bytes(), out);
    }
}

impl Read for String {
    fn read(input: &mut Input<'_>) -> Result<Self, Malformed> {
        input.text().map(Self::from)
    }
}

impl Skip for String {
    fn skip(input: &mut Input<'_>) -> Result<(), Malformed> {
        input.bytes().map(drop)
    }
}

impl Skip for i64 {
    fn skip(input: &mut Input<'_>) -> Result<(), Malformed> {
        input.long().map(drop)
    }
}

impl<T: Skip> Skip for Option<T> {
    fn skip(input: &mut Input<'_>) -> Result<(), Malformed> {
        match input.long()? {
            0 => Ok(()),
            1 => T::skip(input),
            _ => Err(Malformed("a union has no such branch")),
        }
    }
}

impl<T: Skip> Skip for Vec<T> {
    fn skip(input: &mut Input<'_>) -> Result<(), Malformed> {
        input.elements(T::skip)
    }
}

/// A union of null and the type, in this order.
impl<T: Write> Write for Option<T> {
    fn write(&self, out: &mut Vec<u8>) {
        match self {
            None => out.push(0),
            Some(value) => {
                out.push(2);
                value.write(out);
            }
        }
    }
}

impl<T: Read> Read for Option<T> {
    fn read(input: &mut Input<'_>) -> Result<Self, Malformed> {
        match input.long()? {
            0 => Ok(None),
            1 => T::read(input).map(Some),
            _ => Err(Malformed("a union has no such branch")),
        }
    }
}

impl<T: Write> Write for Vec<T> {
    fn write(&self, out: &mut Vec<u8>) {
        if !self.is_empty() {
            write_count(self.len(), out);
            self.iter().for_each(|element| element.write(out));
        }
        out.push(0);
    }
}

impl<T: Read> Read for Vec<T> {
    fn read(input: &mut Input<'_>) -> Result<Self, Malformed> {
        let mut all = Self::new();
        input.elements(|input| {
            all.push(T::read(input)?);
            Ok(())
        })?;
        Ok(all)
    }
}

/// A key of a map, which Avro has as text.
trait Key: Ord + Sized {
    fn text(&self) -> &str;
    fn parse(text: &str) -> Result<Self, Malformed>;
}

impl Key for String {
    fn text(&self) -> &str {
        self
    }

    fn parse(text: &str) -> Result<Self, Malformed> {
        Ok(text.to_owned())
    }
}

impl<K: Key, V: Write> Write for BTreeMap<K, V> {
    fn write(&self, out: &mut Vec<u8>) {
        if !self.is_empty() {
            write_count(self.len(), out);
            for (key, value) in self {
                key.text().write(out);
                value.write(out);
            }
        }
        out.push(0);
    }
}

impl<K: Key, V: Read> Read for BTreeMap<K, V> {
    fn read(input: &mut Input<'_>) -> Result<Self, Malformed> {
        let mut all = Self::new();
        input.elements(|input| {
            let key = K::parse(input.text()?)?;
            all.insert(key, V::read(input)?);
            Ok(())
        })?;
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(value: &impl Write) -> Vec<u8> {
        let mut out = Vec::new();
        value.write(&mut out);
        out
    }

    #[test]
    fn numbers_are_those_of_the_specification() {
        // https://avro.apache.org/docs/1.12.0/specification/#binary-encoding
        for (value, bytes) in [(0_i64, &[0_u8][..]), (-1, &[1]), (1, &[2]), (-64, &[0x7f]), (64, &[0x80, 1])]
        {
            assert_eq!(written(&value), bytes);
        }
        assert_eq!(written(&"foo".to_owned()), b"\x06foo");
        assert_eq!(written(&vec![3_i64, 27]), [4, 6, 0x36, 0]);
    }

    #[test]
    fn an_array_may_come_in_blocks_with_sizes() {
        let blocks = [1, 2, 6, 2, 0x36, 0];
        assert_eq!(Vec::<i64>::read(&mut Input::new(&blocks)), Ok(vec![3, 27]));
    }

    #[test]
    fn what_a_length_claims_is_not_believed() {
        let huge = written(&i64::MAX);
        assert_eq!(Vec::<String>::read(&mut Input::new(&huge)), Err(SHORT));
        assert_eq!(String::read(&mut Input::new(&huge)), Err(SHORT));
        assert!(String::read(&mut Input::new(&written(&-5_i64))).is_err());
        assert!(i64::read(&mut Input::new(&[0xff; 11])).is_err());
    }

    proptest! {
        #[test]
        fn any_number_reads_back(value: i64) {
            let bytes = written(&value);
            let mut input = Input::new(&bytes);
            prop_assert_eq!(input.long(), Ok(value));
            prop_assert!(input.rest().is_empty());
        }

        #[test]
        fn any_bytes_give_a_value_or_an_error(bytes: Vec<u8>) {
            let _ = crate::Event::read(&mut Input::new(&bytes));
            let _ = crate::Fact::<crate::order::View>::read(&mut Input::new(&bytes));
        }
    }
}
