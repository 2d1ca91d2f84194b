//! What a stage keeps: its tables, and in which records of a store their rows lie.

/// One kind of state. Its number is part of what is stored and never changes its meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Table {
    /// Number, below 255.
    pub number: u8,
    /// For people.
    pub name: &'static str,
    /// True when it is read in key order ([`Context::first`](crate::Context::first) and the like). An ordered table
    /// costs more per look-up.
    pub ordered: bool,
    /// Where rows of one group lie together; `None`: each row is a record of its own.
    pub pages: Option<&'static Pages>,
}

impl Table {
    /// A table whose rows are found by their whole key.
    pub const fn hashed(number: u8, name: &'static str) -> Self {
        Self { number, name, ordered: false, pages: None }
    }

    /// A table that is read in key order.
    pub const fn ordered(number: u8, name: &'static str) -> Self {
        Self { number, name, ordered: true, pages: None }
    }

    /// The same table with its rows in pages. It is read in key order, but only within a group: a prefix must be at
    /// least the whole head of the key that names the group.
    #[must_use]
    pub const fn in_pages(self, pages: &'static Pages) -> Self {
        Self { ordered: true, pages: Some(pages), ..self }
    }
}

/// Records that hold the rows of several tables, those of one group together. What is read and written together costs
/// one record of the store and of the changelog then, and the group's name is stored once.
///
/// A page has at most a few KiB, so that a change costs the same however many rows a group has: one that grows has
/// further pages.
#[derive(Debug, Clone, Copy)]
pub struct Pages {
    /// Number of the table of first pages, and of that of further ones. No other table has either.
    pub numbers: (u8, u8),
    /// For people.
    pub name: &'static str,
    /// How long the head of a key is that names its group; `None` for bytes that don't hold a whole one. It decides by
    /// the head alone: whatever follows that, the answer is the same.
    pub group: fn(&[u8]) -> Option<usize>,
}

/// Two are the same when they lie at the same place; how their groups are found follows from that.
impl PartialEq for Pages {
    fn eq(&self, other: &Self) -> bool {
        self.numbers == other.numbers
    }
}

impl Eq for Pages {}

impl Pages {
    /// The first page of each group, by the group.
    pub(crate) const fn first(&self) -> Table {
        Table::hashed(self.numbers.0, self.name)
    }

    /// Further pages: see [`crate::paged`].
    pub(crate) const fn further(&self) -> Table {
        Table::ordered(self.numbers.1, "further pages")
    }
}

/// The tables as a store has them: those of pages in the place of those that are kept in them.
pub(crate) fn stored(tables: &[Table]) -> Vec<Table> {
    let mut stored: Vec<Table> = Vec::new();
    for table in tables {
        match table.pages {
            None => stored.push(*table),
            Some(pages) if stored.contains(&pages.first()) => {}
            Some(pages) => stored.extend([pages.first(), pages.further()]),
        }
    }
    stored
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGES: Pages =
        Pages { numbers: (8, 9), name: "pages", group: |key| (!key.is_empty()).then_some(1) };

    #[test]
    fn a_store_has_the_tables_of_pages_once_and_not_those_that_are_in_them() {
        let tables = [
            Table::hashed(0, "a"),
            Table::hashed(1, "b").in_pages(&PAGES),
            Table::ordered(2, "c").in_pages(&PAGES),
            Table::ordered(3, "d"),
        ];
        let numbers = |tables: &[Table]| tables.iter().map(|t| (t.number, t.ordered)).collect::<Vec<_>>();
        let found = stored(&tables);
        assert_eq!(numbers(&found), [(0, false), (8, false), (9, true), (3, true)]);
        assert_eq!(stored(&found), found, "what a store has is kept as it is");
    }
}
