//! Rows for `COPY … FROM STDIN`, gathered in memory, in the two formats that PostgreSQL's documentation of COPY tells: binary for our own
//! tables, whose types we know, text for the application's; and rows of a `COPY … TO STDOUT` of ours. Sends nothing itself.

use std::borrow::Cow;

use bytes::Bytes;

use crate::error;

/// What every such stream begins with: signature, no flags, no extension.
const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// What it ends with.
const TRAILER: [u8; 2] = (-1i16).to_be_bytes();
/// Bytes of one message to the server.
const MESSAGE_BYTES: usize = 1 << 20;

/// Rows of equally many columns.
#[derive(Default)]
pub struct CopyRows {
    bytes: Vec<u8>,
}

/// One row that is being written.
pub struct CopyRow<'r> {
    bytes: &'r mut Vec<u8>,
}

impl CopyRows {
    /// Begins a row of so many columns.
    pub fn row(&mut self, columns: i16) -> CopyRow<'_> {
        if self.bytes.is_empty() {
            self.bytes.extend_from_slice(HEADER);
        }
        self.bytes.extend_from_slice(&columns.to_be_bytes());
        CopyRow { bytes: &mut self.bytes }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Bytes that they take.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// All of them as messages for the server; none are left.
    pub fn take(&mut self) -> impl Iterator<Item = Bytes> + use<> {
        let mut bytes = std::mem::take(&mut self.bytes);
        bytes.extend_from_slice(&TRAILER);
        messages(bytes)
    }

    /// The same for rows that stay.
    pub fn messages(&self) -> impl Iterator<Item = Bytes> + '_ {
        let pieces = self.bytes.chunks(MESSAGE_BYTES).map(Bytes::copy_from_slice);
        pieces.chain(std::iter::once(Bytes::copy_from_slice(&TRAILER)))
    }
}

/// Rows in text format: a line each, tabs between values, `\N` for NULL.
#[derive(Default)]
pub struct CopyTexts {
    bytes: Vec<u8>,
}

impl CopyTexts {
    /// Adds a row.
    pub fn row<'v>(&mut self, values: impl Iterator<Item = Option<Cow<'v, str>>>) {
        let mut row = self.begin();
        values.for_each(|value| row.value(value.as_deref()));
        row.end();
    }

    /// Begins a row, which counts once it is ended.
    pub fn begin(&mut self) -> CopyText<'_> {
        CopyText { from: self.bytes.len(), bytes: &mut self.bytes, is_first: true, is_whole: false }
    }

    /// All of them as messages for the server; they stay.
    pub fn messages(&self) -> impl Iterator<Item = Bytes> + '_ {
        self.bytes.chunks(MESSAGE_BYTES).map(Bytes::copy_from_slice)
    }

    /// All of them as messages for the server; none are left.
    pub fn take(&mut self) -> impl Iterator<Item = Bytes> + use<> {
        messages(std::mem::take(&mut self.bytes))
    }
}

/// Takes the binary stream of a `COPY … TO STDOUT` apart, however it is cut: rows of `N` columns, none of them NULL.
#[derive(Default)]
pub struct CopiedRows<const N: usize> {
    /// What has come of a row that is not whole yet.
    rest: Vec<u8>,
    has_begun: bool,
    is_whole: bool,
}

impl<const N: usize> CopiedRows<N> {
    /// Takes what came next, and visits the rows that are whole.
    ///
    /// # Errors
    /// If it is no such stream, or `each` errs.
    pub fn take(&mut self, bytes: &[u8], mut each: impl FnMut([&[u8]; N]) -> error::Result<()>) -> error::Result<()> {
        let mut joined = std::mem::take(&mut self.rest);
        let mut left = if joined.is_empty() {
            bytes
        } else {
            joined.extend_from_slice(bytes);
            &joined
        };
        if !self.has_begun {
            if left.len() < HEADER.len() {
                self.rest = left.to_vec();
                return Ok(());
            }
            // No flag is set: none that we could miss.
            if !left.starts_with(HEADER) {
                return Err(no_copy());
            }
            (self.has_begun, left) = (true, &left[HEADER.len()..]);
        }
        while let Some((columns, mut fields)) = left.split_first_chunk::<2>() {
            match i16::from_be_bytes(*columns) {
                -1 => self.is_whole = true,
                count if count as usize != N || self.is_whole => return Err(no_copy()),
                _ => {
                    let mut row = [&[][..]; N];
                    if !row.iter_mut().all(|field| next_field(&mut fields).map(|found| *field = found).is_some()) {
                        break;
                    }
                    each(row)?;
                }
            }
            left = fields;
        }
        self.rest = left.to_vec();
        Ok(())
    }

    /// Whether its end has come, and nothing behind it.
    pub fn is_whole(&self) -> bool {
        self.is_whole && self.rest.is_empty()
    }
}

/// `None` if it has not come whole. One that is NULL never does.
fn next_field<'b>(bytes: &mut &'b [u8]) -> Option<&'b [u8]> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let length = usize::try_from(i32::from_be_bytes(*length)).ok()?;
    let (field, rest) = rest.split_at_checked(length)?;
    *bytes = rest;
    Some(field)
}

fn no_copy() -> error::Error {
    std::io::Error::other("a COPY in a format that PostgreSQL's documentation does not tell").into()
}

/// One row in text format that is being written.
pub struct CopyText<'r> {
    bytes: &'r mut Vec<u8>,
    from: usize,
    is_first: bool,
    is_whole: bool,
}

impl CopyText<'_> {
    /// Adds a value.
    pub fn value(&mut self, text: Option<&str>) {
        if !std::mem::take(&mut self.is_first) {
            self.bytes.push(b'\t');
        }
        let Some(text) = text else { return self.bytes.extend_from_slice(b"\\N") };
        let mut rest = text.as_bytes();
        // Nearly no text has any byte that means something to COPY.
        while let Some(place) = rest.iter().position(|byte| matches!(byte, b'\\' | b'\t' | b'\n' | b'\r')) {
            self.bytes.extend_from_slice(&rest[..place]);
            let escaped: &[u8; 2] = match rest[place] {
                b'\\' => b"\\\\",
                b'\t' => b"\\t",
                b'\n' => b"\\n",
                _ => b"\\r",
            };
            self.bytes.extend_from_slice(escaped);
            rest = &rest[place + 1..];
        }
        self.bytes.extend_from_slice(rest);
    }

    /// The row is whole.
    pub fn end(mut self) {
        self.bytes.push(b'\n');
        self.is_whole = true;
    }
}

impl Drop for CopyText<'_> {
    fn drop(&mut self) {
        if !self.is_whole {
            self.bytes.truncate(self.from);
        }
    }
}

fn messages(bytes: Vec<u8>) -> impl Iterator<Item = Bytes> {
    let mut rest = Bytes::from(bytes);
    std::iter::from_fn(move || {
        let next = rest.split_to(rest.len().min(MESSAGE_BYTES));
        (!next.is_empty()).then_some(next)
    })
}

impl CopyRow<'_> {
    /// A value of type bigint.
    pub fn bigint(&mut self, number: i64) {
        self.value(&number.to_be_bytes());
    }

    /// A value of type integer.
    pub fn integer(&mut self, number: i32) {
        self.value(&number.to_be_bytes());
    }

    /// A value of type smallint.
    pub fn smallint(&mut self, number: i16) {
        self.value(&number.to_be_bytes());
    }

    /// A value of type bytea or text.
    pub fn value(&mut self, value: &[u8]) {
        self.bytes.extend_from_slice(&(value.len() as i32).to_be_bytes());
        self.bytes.extend_from_slice(value);
    }

    /// NULL.
    pub fn null(&mut self) {
        self.bytes.extend_from_slice(&(-1i32).to_be_bytes());
    }

    /// Text, or NULL.
    pub fn maybe(&mut self, text: Option<&str>) {
        match text {
            Some(text) => self.value(text.as_bytes()),
            None => self.null(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_that_means_something_to_copy_means_itself() {
        let mut rows = CopyTexts::default();
        rows.row([None, Some("".into()), Some("\\N".into()), Some("a\tb\nc\rd\\.".into())].into_iter());
        assert_eq!(rows.take().collect::<Vec<_>>().concat(), b"\\N\t\t\\\\N\ta\\tb\\nc\\rd\\\\.\n");
    }

    #[test]
    fn what_was_copied_comes_out_again_however_it_is_cut() {
        let mut rows = CopyRows::default();
        for n in 0..5u8 {
            let mut row = rows.row(2);
            row.value(&vec![n; usize::from(n)]);
            row.value(b"state");
        }
        let all = rows.messages().collect::<Vec<_>>().concat();
        for length in 1..all.len() {
            let (mut copied, mut found) = (CopiedRows::<2>::default(), Vec::new());
            for (number, piece) in all.chunks(length).enumerate() {
                assert!(!copied.is_whole(), "before piece {number} of {length} bytes");
                copied
                    .take(piece, |[key, state]| {
                        found.push((key.to_vec(), state.to_vec()));
                        Ok(())
                    })
                    .unwrap();
            }
            assert!(copied.is_whole());
            assert_eq!(found, (0..5u8).map(|n| (vec![n; usize::from(n)], b"state".to_vec())).collect::<Vec<_>>());
        }
        CopiedRows::<3>::default().take(&all, |_| Ok(())).unwrap_err();
    }

    #[test]
    fn a_row_that_is_given_up_leaves_nothing_behind() {
        let mut rows = CopyTexts::default();
        rows.row([Some("".into()), Some("a".into())].into_iter());
        rows.begin().value(Some("half"));
        rows.row([Some("b".into()), None].into_iter());
        assert_eq!(rows.messages().collect::<Vec<_>>().concat(), b"\ta\nb\t\\N\n");
    }

    #[test]
    fn rows_are_cut_into_messages_and_nothing_is_lost() {
        let mut rows = CopyRows::default();
        assert!(rows.is_empty());
        rows.row(2).value(&vec![7; MESSAGE_BYTES]);
        rows.row(2).null();
        let all: Vec<Bytes> = rows.take().collect();
        assert_eq!(all.len(), 2);
        assert!(rows.is_empty(), "taken rows are gone");
        let whole = all.concat();
        let mut same = CopyRows::default();
        same.row(2).value(&vec![7; MESSAGE_BYTES]);
        same.row(2).null();
        assert_eq!(same.messages().collect::<Vec<_>>().concat(), whole);
        assert!(whole.starts_with(HEADER) && whole.ends_with(&TRAILER));
        assert_eq!(whole.len(), HEADER.len() + 2 + 4 + MESSAGE_BYTES + 2 + 4 + 2);
    }
}
