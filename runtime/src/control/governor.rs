//! What a runtime needs from control, be it in this process or another.

use std::sync::Arc;

use tokio::sync::watch;

use super::{Control, Error, Obeyed, View};

/// Says what is in force, and hears who obeyed. [`Control`] is one, and so is
/// [`Remote`](super::client::Remote).
#[async_trait::async_trait]
pub trait Governor: Send + Sync + std::fmt::Debug {
    /// What is in force now. Cheap: asked before every call.
    fn view(&self) -> Arc<View>;

    /// Changes of the view.
    fn watch(&self) -> watch::Receiver<Arc<View>>;

    /// Whether the view may be out of date, because the control plane can't be reached. It then
    /// holds: what is frozen stays frozen, and the runtime's own bounds go on.
    fn is_stale(&self) -> bool {
        false
    }

    /// Notes that an agent stopped or slowed because of an action.
    ///
    /// # Errors
    /// When the word could not be kept or delivered.
    async fn obeyed(&self, obeyed: Obeyed) -> Result<(), Error>;
}

#[async_trait::async_trait]
impl Governor for Control {
    fn view(&self) -> Arc<View> {
        Self::view(self)
    }

    fn watch(&self) -> watch::Receiver<Arc<View>> {
        Self::watch(self)
    }

    async fn obeyed(&self, obeyed: Obeyed) -> Result<(), Error> {
        Self::obeyed(self, obeyed).await
    }
}

/// No control plane: nothing is ever in force, and the runtime's own bounds are all there is.
#[derive(Debug)]
pub struct NoControl(watch::Sender<Arc<View>>);

impl Default for NoControl {
    fn default() -> Self {
        Self(watch::Sender::new(Arc::default()))
    }
}

#[async_trait::async_trait]
impl Governor for NoControl {
    fn view(&self) -> Arc<View> {
        Arc::clone(&self.0.borrow())
    }

    fn watch(&self) -> watch::Receiver<Arc<View>> {
        self.0.subscribe()
    }

    async fn obeyed(&self, _: Obeyed) -> Result<(), Error> {
        Ok(())
    }
}
