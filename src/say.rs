//! Words for people on standard output. That nobody reads them any more (`| head`) is no error.

use std::fmt::Arguments;
use std::io::Write as _;

/// Prints text as it is.
pub(crate) fn text(text: Arguments<'_>) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_fmt(text).and_then(|()| out.flush());
}

/// Prints a line, as `println!` does.
macro_rules! say {
    ($($line:tt)*) => {
        $crate::say::text(format_args!("{}\n", format_args!($($line)*)))
    };
}

pub(crate) use say;
