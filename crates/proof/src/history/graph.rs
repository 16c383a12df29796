//! What came before what: an order of all, or a cycle.

/// Edges between numbered nodes.
#[derive(Clone, Debug)]
pub(super) struct Graph {
    next: Vec<Vec<u32>>,
    before: Vec<u32>,
}

impl Graph {
    /// `nodes` of them, with no edge.
    pub(super) fn new(nodes: usize) -> Graph {
        Graph { next: vec![Vec::new(); nodes], before: vec![0; nodes] }
    }

    /// `from` came before `to`.
    pub(super) fn edge(&mut self, from: usize, to: usize) {
        self.next[from].push(to as u32);
        self.before[to] += 1;
    }

    /// What came right after a node.
    pub(super) fn next(&self, node: usize) -> impl Iterator<Item = usize> + '_ {
        self.next[node].iter().map(|&to| to as usize)
    }

    /// Each node behind all that came before it: those for which there is such an order, and one cycle if that is not all.
    pub(super) fn order(&self) -> (Vec<usize>, Option<Vec<usize>>) {
        let mut left = self.before.clone();
        let mut order: Vec<usize> = (0..left.len()).filter(|&node| left[node] == 0).collect();
        let mut at = 0;
        while let Some(&node) = order.get(at) {
            for &to in &self.next[node] {
                left[to as usize] -= 1;
                if left[to as usize] == 0 {
                    order.push(to as usize);
                }
            }
            at += 1;
        }
        let cycle = left.iter().position(|&edges| edges > 0).map(|start| self.cycle(start, &left));
        (order, cycle)
    }

    /// Backwards from a node that has no place: all that are left have one before them that is left.
    fn cycle(&self, start: usize, left: &[u32]) -> Vec<usize> {
        let mut before = vec![usize::MAX; left.len()];
        for from in (0..left.len()).filter(|&node| left[node] > 0) {
            self.next[from].iter().for_each(|&to| before[to as usize] = from);
        }
        let mut seen = vec![false; left.len()];
        let mut node = start;
        while !std::mem::replace(&mut seen[node], true) {
            node = before[node];
        }
        let mut cycle = vec![node];
        let mut at = before[node];
        while at != node {
            cycle.push(at);
            at = before[at];
        }
        cycle.reverse();
        cycle
    }
}

#[cfg(test)]
mod tests {
    use super::Graph;

    #[test]
    fn what_is_left_behind_a_cycle_is_no_part_of_it() {
        let mut graph = Graph::new(6);
        for (from, to) in [(0, 1), (1, 2), (2, 3), (3, 1), (3, 4), (4, 5)] {
            graph.edge(from, to);
        }
        let (order, cycle) = graph.order();
        assert_eq!(order, [0]);
        let mut cycle = cycle.unwrap();
        assert!(
            cycle
                .iter()
                .zip(cycle.iter().cycle().skip(1))
                .all(|edge| [(1, 2), (2, 3), (3, 1)].contains(&(*edge.0, *edge.1)))
        );
        cycle.sort_unstable();
        assert_eq!(cycle, [1, 2, 3]);
    }
}
