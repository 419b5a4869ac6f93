//! A queue between threads whose receivers go to sleep at once.
//!
//! A channel that looks again and again before it sleeps is quicker when the next item is near. Between two ticks it is not, and the
//! looking costs CPU time at each of them.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The queue. Any number of threads may send and receive.
#[derive(Debug)]
pub struct Queue<T> {
    state: Mutex<State<T>>,
    arrived: Condvar,
}

#[derive(Debug)]
struct State<T> {
    items: VecDeque<T>,
    is_closed: bool,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        let state = State { items: VecDeque::new(), is_closed: false };
        Self { state: Mutex::new(state), arrived: Condvar::new() }
    }
}

impl<T> Queue<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends `item`.
    pub fn send(&self, item: T) {
        self.lock().items.push_back(item);
        self.arrived.notify_one();
    }

    /// Lets receivers know that nothing more will come.
    pub fn close(&self) {
        self.lock().is_closed = true;
        self.arrived.notify_all();
    }

    /// Waits for the next item; none when the queue is empty and closed.
    pub fn receive(&self) -> Option<T> {
        let waits = |state: &mut State<T>| state.items.is_empty() && !state.is_closed;
        self.arrived.wait_while(self.lock(), waits).unwrap_or_else(PoisonError::into_inner).items.pop_front()
    }

    /// Waits for the next item, `patience` at most.
    pub fn receive_within(&self, patience: Duration) -> Option<T> {
        let waits = |state: &mut State<T>| state.items.is_empty();
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
