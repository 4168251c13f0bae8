//! What befalls the operations of an object store, by a seed.

use std::collections::BTreeMap;

use parking_lot::Mutex;

use crate::dice::Dice;

/// Every operation there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Operation {
    Put,
    Create,
    Multipart,
    Part,
    Complete,
    Get,
    Head,
    Ranges,
    List,
    Folders,
    Delete,
    Copy,
    Rename,
}

/// What befalls one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ill {
    /// Nothing.
    None,
    /// An error, and nothing is done.
    Before,
    /// It is done, but the answer is lost on its way: a time-out after success.
    After,
    /// It takes its time.
    Slow,
    /// "It exists already" (412), and nothing is done: it met another request.
    Refused,
    /// It is done, and then "it exists already": somebody on the way sent it twice.
    DoneAndRefused,
    /// A list that does not know the newest object yet.
    Stale,
}

#[derive(Debug)]
pub(crate) struct Weather(Mutex<Sky>);

#[derive(Debug)]
struct Sky {
    dice: Dice,
    /// Something befalls one operation in so many; 0 for none.
    one_in: u64,
    /// Everything fails for so many operations.
    out_for: u64,
    /// What befalls the next of this kind, whatever the dice say.
    struck: Option<(Operation, Ill)>,
    /// How often something befell each.
    met: BTreeMap<Operation, usize>,
}

impl Weather {
    /// Nothing ever happens.
    pub(crate) fn fair() -> Self {
        Self::of(0, 0)
    }

    pub(crate) fn of(seed: u64, one_in: u64) -> Self {
        Self(Mutex::new(Sky {
            dice: Dice(seed),
            one_in,
            out_for: 0,
            struck: None,
            met: BTreeMap::new(),
        }))
    }

    pub(crate) fn set(&self, one_in: u64) {
        let mut sky = self.0.lock();
        (sky.one_in, sky.out_for) = (one_in, 0);
    }

    /// Lets this befall the next such operation.
    pub(crate) fn strike(&self, operation: Operation, ill: Ill) {
        self.0.lock().struck = Some((operation, ill));
    }

    /// How often something befell each operation.
    pub(crate) fn met(&self) -> BTreeMap<Operation, usize> {
        self.0.lock().met.clone()
    }

    pub(crate) fn befalls(&self, operation: Operation) -> Ill {
        let mut sky = self.0.lock();
        let ill = sky.next(operation);
        if ill != Ill::None {
            *sky.met.entry(operation).or_default() += 1;
        }
        ill
    }
}

impl Sky {
    fn next(&mut self, operation: Operation) -> Ill {
        if self.out_for > 0 {
            self.out_for -= 1;
            return Ill::Before;
        }
        if let Some((_, ill)) = self.struck.take_if(|(struck, _)| *struck == operation) {
            return ill;
        }
        if self.one_in == 0 || self.dice.roll(self.one_in) > 0 {
            return Ill::None;
        }
        match (self.dice.roll(8), operation) {
            (0..2, _) => Ill::After,
            (2, _) => Ill::Slow,
            (3, Operation::Create) => Ill::Refused,
            (4, Operation::Create) => Ill::DoneAndRefused,
            (3..5, Operation::List) => Ill::Stale,
            (5, _) => {
                self.out_for = self.dice.roll(12);
                Ill::Before
            }
            _ => Ill::Before,
        }
    }
}
