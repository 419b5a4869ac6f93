//! A queue between threads whose receivers sleep without spinning first.
//!
//! Channels that spin before they sleep are faster when the next item comes soon. Between two ticks it does not, and the
//! spinning would cost CPU time at each tick.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A queue for any number of senders and receivers.
#[derive(Debug)]
pub(super) struct Queue<T> {
    state: Mutex<QueueState<T>>,
    arrived: Condvar,
}

#[derive(Debug)]
struct QueueState<T> {
    items: VecDeque<T>,
    is_closed: bool,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        let state = QueueState { items: VecDeque::new(), is_closed: false };
        Self { state: Mutex::new(state), arrived: Condvar::new() }
    }
}

impl<T> Queue<T> {
    fn lock(&self) -> MutexGuard<'_, QueueState<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends `item`.
    pub(super) fn send(&self, item: T) {
        self.lock().items.push_back(item);
        self.arrived.notify_one();
    }

    /// Ends the queue: receivers get what is left, and then `None`.
    pub(super) fn close(&self) {
        self.lock().is_closed = true;
        self.arrived.notify_all();
    }

    /// Waits for the next item; `None` if the queue is empty and closed.
    pub(super) fn receive(&self) -> Option<T> {
        let waits = |state: &mut QueueState<T>| state.items.is_empty() && !state.is_closed;
        self.arrived.wait_while(self.lock(), waits).unwrap_or_else(PoisonError::into_inner).items.pop_front()
    }

    /// Waits up to `patience` for the next item.
    pub(super) fn receive_within(&self, patience: Duration) -> Option<T> {
        let waits = |state: &mut QueueState<T>| state.items.is_empty();
        let waited = self.arrived.wait_timeout_while(self.lock(), patience, waits);
        waited.unwrap_or_else(PoisonError::into_inner).0.items.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn items_come_in_order_and_then_the_end() {
        let queue = Arc::new(Queue::default());
        let sender = Arc::clone(&queue);
        let thread = std::thread::spawn(move || {
            (0..1000).for_each(|number| sender.send(number));
            sender.close();
        });
        let received: Vec<i32> = std::iter::from_fn(|| queue.receive()).collect();
        thread.join().unwrap();
        assert_eq!(received, (0..1000).collect::<Vec<_>>());
    }

    #[test]
    fn each_item_goes_to_one_of_several_receivers() {
        let queue = Arc::new(Queue::default());
        let receivers: Vec<_> = (0..4)
            .map(|_| {
                let queue = Arc::clone(&queue);
                std::thread::spawn(move || std::iter::from_fn(|| queue.receive()).sum::<u32>())
            })
            .collect();
        (1..=1000).for_each(|number| queue.send(number));
        queue.close();
        assert_eq!(receivers.into_iter().map(|receiver| receiver.join().unwrap()).sum::<u32>(), 500_500);
    }

    #[test]
    fn patience_ends() {
        let queue = Queue::<u8>::default();
        assert_eq!(queue.receive_within(Duration::from_millis(1)), None);
        queue.send(1);
        assert_eq!(queue.receive_within(Duration::from_secs(60)), Some(1));
        queue.close();
        assert_eq!(queue.receive(), None);
    }
}
