// Where the nodes and edges of a small directed acyclic graph go: layers from top to bottom, few crossings, edges that
// bend around nodes (the method of Sugiyama, Tagawa and Toda 1981: layers by longest path, barycenter ordering, then
// positions).
#ifndef MILLRACE_EXECUTOR_OBSERVE_GRAPH_LAYOUT_H_
#define MILLRACE_EXECUTOR_OBSERVE_GRAPH_LAYOUT_H_

#include <utility>
#include <vector>

namespace millrace {

struct GraphNode {
  double width = 0;  // given
  double x = 0;      // centre
  int layer = 0;     // 0 is the top
};

struct GraphEdge {
  int from = 0, to = 0;  // given
  // x at each layer from the producer's to the consumer's.
  std::vector<double> x;
};

struct GraphLayout {
  std::vector<GraphNode> nodes;
  std::vector<GraphEdge> edges;
  double width = 0;
  int layers = 0;
};

// Nodes are in topological order: every edge has from < to. Deterministic. `gap` is kept between neighbours.
GraphLayout LayOut(std::vector<double> widths, const std::vector<std::pair<int, int>>& edges, double gap);

}  // namespace millrace

#endif  // MILLRACE_EXECUTOR_OBSERVE_GRAPH_LAYOUT_H_
