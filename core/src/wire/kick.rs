//! What is owed for a request that was queued, by whom, and when.

use std::sync::Arc;

use super::line::Line;
use super::pipe::Taken;

/// What a caller owes a connection on which it has queued something: to be done when it holds no lock.
#[must_use = "nothing is sent before"]
pub(crate) struct Kick(Option<(Arc<Line>, Taken)>);

impl Kick {
    /// Nothing is owed.
    pub const NONE: Kick = Kick(None);

    pub(super) fn new(owed: Option<(Arc<Line>, Taken)>) -> Self {
        Kick(owed)
    }

    /// Sends, or tells the driver to.
    pub fn go(self) {
        let Some((line, taken)) = self.0 else { return };
        line.note_user(0);
        line.send_or_tell(taken);
        if taken == Taken::First {
            line.have_watched();
        }
    }

    /// As [`Kick::go`], by a caller that is going to wait on the socket, or to [have it watched](Line::have_watched).
    pub fn go_to_drive(self) {
        let Some((line, taken)) = self.0 else { return };
        line.note_user(0);
        line.send_or_tell(taken);
    }

    /// As [`Kick::go`], for a request of which nobody waits for the replies: who drives goes on to.
    pub fn go_behind(self) {
        let Some((line, taken)) = self.0 else { return };
        line.send_or_tell(taken);
        if taken == Taken::First && line.is_unwatched() {
            line.have_watched();
        }
    }

    /// The connection, for a caller that [sends](Line::send_queued) a little later what it has queued meanwhile.
    pub fn hold(self) -> Option<Arc<Line>> {
        self.0.map(|(line, _)| line)
    }

    /// Whether nothing else is on its way there.
    pub fn is_first(&self) -> bool {
        matches!(self.0, Some((_, Taken::First)))
    }

    /// The connection, where anything was queued.
    pub fn line(&self) -> Option<&Arc<Line>> {
        self.0.as_ref().map(|(line, _)| line)
    }
}
