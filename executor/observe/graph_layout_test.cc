#include "executor/observe/graph_layout.h"

#include <algorithm>
#include <cmath>
#include <random>

#include "gtest/gtest.h"

namespace millrace {
namespace {

// Neighbours in a layer keep their gap, edges go down, everything is within the width.
void ExpectGood(const GraphLayout& layout, double gap) {
  for (size_t a = 0; a < layout.nodes.size(); ++a) {
    const GraphNode& node = layout.nodes[a];
    EXPECT_GE(node.x - node.width / 2, -1e-6);
    EXPECT_LE(node.x + node.width / 2, layout.width + 1e-6);
    for (size_t b = 0; b < a; ++b) {
      if (layout.nodes[b].layer != node.layer) continue;
      EXPECT_GE(std::abs(layout.nodes[b].x - node.x), (layout.nodes[b].width + node.width) / 2 + gap - 1e-6);
    }
  }
  for (const GraphEdge& edge : layout.edges) {
    EXPECT_LT(layout.nodes[edge.from].layer, layout.nodes[edge.to].layer);
    EXPECT_EQ(edge.x.size(), layout.nodes[edge.to].layer - layout.nodes[edge.from].layer + 1);
    EXPECT_EQ(edge.x.front(), layout.nodes[edge.from].x);
    EXPECT_EQ(edge.x.back(), layout.nodes[edge.to].x);
  }
}

TEST(GraphLayoutTest, AChainIsStraight) {
  const GraphLayout layout = LayOut({100, 60, 100}, {{0, 1}, {1, 2}}, 20);
  ExpectGood(layout, 20);
  EXPECT_EQ(layout.layers, 3);
  EXPECT_NEAR(layout.nodes[0].x, layout.nodes[2].x, 1e-6);
  EXPECT_NEAR(layout.nodes[0].x, layout.nodes[1].x, 1e-6);
}

TEST(GraphLayoutTest, SourcesStandAboveWhatUsesThem) {
  // 0 -> 1 -> 2 -> 3, and 4 is used by 5 only, which also takes 3.
  const GraphLayout layout = LayOut({10, 10, 10, 10, 10, 10}, {{0, 1}, {1, 2}, {2, 3}, {3, 5}, {4, 5}}, 20);
  ExpectGood(layout, 20);
  EXPECT_EQ(layout.nodes[4].layer, layout.nodes[3].layer);
}

TEST(GraphLayoutTest, ATreeHasNoCrossings) {
  // Given in an order that crosses: 0,1 -> 3; 2 -> 4 with consumers listed the other way round.
  const GraphLayout layout = LayOut({10, 10, 10, 10, 10, 10}, {{0, 4}, {1, 3}, {2, 4}, {3, 5}, {4, 5}}, 20);
  ExpectGood(layout, 20);
  int crossings = 0;
  for (const GraphEdge& a : layout.edges) {
    for (const GraphEdge& b : layout.edges) {
      if (layout.nodes[a.from].layer != layout.nodes[b.from].layer) continue;
      if (a.x[0] < b.x[0] && a.x[1] > b.x[1]) ++crossings;
    }
  }
  EXPECT_EQ(crossings, 0);
}

TEST(GraphLayoutTest, AnyGraph) {
  std::mt19937 random(7);
  for (int round = 0; round < 30; ++round) {
    const int count = 1 + random() % 30;
    std::vector<double> widths;
    for (int i = 0; i < count; ++i) widths.push_back(20 + random() % 100);
    std::vector<std::pair<int, int>> edges;
    for (int i = 0; i < count * 2; ++i) {
      const int a = random() % count, b = random() % count;
      if (a != b) edges.emplace_back(std::min(a, b), std::max(a, b));
    }
    ExpectGood(LayOut(widths, edges, 16), 16);
  }
  EXPECT_EQ(LayOut({}, {}, 10).layers, 0);
}

}  // namespace
}  // namespace millrace
