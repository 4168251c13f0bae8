//! Prices of the models that are used: what the book lists for each is looked up once.

use std::sync::Arc;

use flyball_pricing::{Book, Call, Cost, Listed, Price, Tokens};
use flyball_store::hashed::HashMap;
use parking_lot::Mutex;

/// Sellers and models that are remembered. Nobody uses so many; who invents names gets no room by it.
const REMEMBERED: usize = 4_096;

/// Who sold it, the model used, and the model asked for.
type Sold = [Option<Box<str>>; 3];

/// A book, and what it has listed for the calls that were made.
#[derive(Debug)]
pub(super) struct Prices {
    book: Arc<Book>,
    listed: Mutex<HashMap<Sold, Arc<Listed>>>,
}

impl Prices {
    pub(super) fn of(book: Arc<Book>) -> Self {
        Self {
            book,
            listed: Mutex::default(),
        }
    }

    pub(super) fn book(&self) -> &Book {
        &self.book
    }

    /// As [`Book::charge`].
    pub(super) fn charge(&self, call: &Call<'_>, tokens: &Tokens) -> Option<(&Price, Cost)> {
        let listed = self.listed(call);
        self.book.charge_among(&listed, call, tokens)
    }

    fn listed(&self, call: &Call<'_>) -> Arc<Listed> {
        let sold = [call.provider, call.response_model, call.request_model];
        let sold: Sold = sold.map(|text| text.map(Box::from));
        let mut known = self.listed.lock();
        if let Some(listed) = known.get(&sold) {
            return Arc::clone(listed);
        }
        if known.len() >= REMEMBERED {
            known.clear();
        }
        let listed = Arc::new(self.book.listed(call));
        known.insert(sold, Arc::clone(&listed));
        listed
    }
}
