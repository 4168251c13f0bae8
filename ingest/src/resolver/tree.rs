//! A trace's spans in order: parents before children, whatever order they came in.

use flyball_store::hashed::HashMap;

use super::fact::Fact;

/// The shape of a trace, by index of its facts.
#[derive(Debug)]
pub(super) struct Tree {
    /// The parent, when it has been seen.
    pub(super) parent: Vec<Option<usize>>,
    /// Steps from the topmost span above it that has been seen.
    pub(super) depth: Vec<u32>,
    /// Whether every ancestor has been seen, up to a root.
    pub(super) rooted: Vec<bool>,
    /// Every span once, parents before children.
    pub(super) order: Vec<usize>,
}

impl Tree {
    /// Puts the facts in order. Parents that form a ring (no honest sender does that) are cut open at the
    /// span with the lowest id.
    pub(super) fn of(facts: &[Fact], index: &HashMap<u64, usize>) -> Self {
        let count = facts.len();
        let mut tree = Self {
            parent: facts
                .iter()
                .map(|fact| index.get(&fact.parent_id).copied())
                .collect(),
            depth: vec![0; count],
            rooted: vec![false; count],
            order: Vec::with_capacity(count),
        };
        let children = Children::of(&tree.parent);
        let mut seen = vec![false; count];
        for (top, fact) in facts.iter().enumerate() {
            if tree.parent[top].is_none() {
                tree.walk(top, fact.parent_id == 0, &children, &mut seen);
            }
        }
        if tree.order.len() < count {
            let mut rings: Vec<usize> = (0..count).filter(|span| !seen[*span]).collect();
            rings.sort_unstable_by_key(|span| facts[*span].span_id);
            for top in rings {
                if !seen[top] {
                    tree.parent[top] = None;
                    tree.walk(top, false, &children, &mut seen);
                }
            }
        }
        tree
    }

    /// Takes in everything below a span that has not been seen yet.
    fn walk(&mut self, top: usize, rooted: bool, children: &Children, seen: &mut [bool]) {
        let mut at = self.order.len();
        self.order.push(top);
        seen[top] = true;
        self.rooted[top] = rooted;
        while let Some(&span) = self.order.get(at) {
            at += 1;
            for child in children.below(span) {
                if !std::mem::replace(&mut seen[child], true) {
                    self.depth[child] = self.depth[span] + 1;
                    self.rooted[child] = rooted;
                    self.order.push(child);
                }
            }
        }
    }

    /// The ancestors of a span, nearest first.
    pub(super) fn ancestors(&self, span: usize) -> impl Iterator<Item = usize> + '_ {
        std::iter::successors(self.parent[span], |span| self.parent[*span])
    }

    /// Which of several spans is the topmost: least deep, then first to start.
    pub(super) fn height(&self, facts: &[Fact], span: usize) -> (u32, i64, u64) {
        let (start, span_id) = facts[span].rank();
        (self.depth[span], start, span_id)
    }
}

/// Lists of children, strung through two arrays.
struct Children {
    first: Vec<Option<usize>>,
    next: Vec<Option<usize>>,
}

impl Children {
    fn of(parent: &[Option<usize>]) -> Self {
        let mut children = Self {
            first: vec![None; parent.len()],
            next: vec![None; parent.len()],
        };
        for (child, parent) in parent.iter().enumerate() {
            if let Some(parent) = *parent {
                children.next[child] = children.first[parent].replace(child);
            }
        }
        children
    }

    fn below(&self, span: usize) -> impl Iterator<Item = usize> + '_ {
        std::iter::successors(self.first[span], |child| self.next[*child])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resolver::fact::Class;

    fn tree(parents: &[(u64, u64)]) -> (Tree, Vec<u64>) {
        let fact = |(span_id, parent_id): &(u64, u64)| Fact {
            span_id: *span_id,
            parent_id: *parent_id,
            start: 0,
            duration: 0,
            received: 0,
            position: 0,
            own: 0,
            class: Class::Other,
            recorded: false,
            detail: None,
        };
        let facts: Vec<Fact> = parents.iter().map(fact).collect();
        let index = facts
            .iter()
            .enumerate()
            .map(|(at, fact)| (fact.span_id, at))
            .collect();
        let tree = Tree::of(&facts, &index);
        let order = tree.order.iter().map(|span| facts[*span].span_id).collect();
        (tree, order)
    }

    #[test]
    fn parents_come_before_children_that_were_sent_first() {
        let (tree, order) = tree(&[(3, 2), (2, 1), (1, 0), (5, 9)]);
        assert_eq!(order, [1, 2, 3, 5]);
        assert_eq!(tree.depth, [2, 1, 0, 0]);
        assert_eq!(tree.rooted, [true, true, true, false]);
        assert_eq!(tree.ancestors(0).collect::<Vec<_>>(), [1, 2]);
    }

    #[test]
    fn rings_are_cut_and_every_span_is_there_once() {
        let (tree, mut order) = tree(&[(4, 4), (1, 3), (2, 1), (3, 2), (5, 3), (6, 0)]);
        order.sort_unstable();
        assert_eq!(order, [1, 2, 3, 4, 5, 6]);
        for span in 0..6 {
            assert!(tree.ancestors(span).count() <= 6);
        }
        assert_eq!(tree.parent[1], None, "cut at the lowest id");
    }
}
