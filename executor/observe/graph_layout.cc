#include "executor/observe/graph_layout.h"

#include <algorithm>

namespace millrace {
namespace {

// A node of the graph, or a bend: the place where an edge passes through a layer.
struct Vertex {
  double width = 0;
  double x = 0;
  int layer = 0;
  std::vector<int> above, below;  // neighbours in the next layers
};

using Layers = std::vector<std::vector<int>>;

double Mean(const std::vector<Vertex>& vertices, const std::vector<int>& of, double otherwise) {
  if (of.empty()) return otherwise;
  double sum = 0;
  for (int v : of) sum += vertices[v].x;
  return sum / of.size();
}

// Sweeps down and up: each layer is ordered by the mean position of its neighbours in the layer before.
void Order(std::vector<Vertex>& vertices, Layers& layers) {
  for (auto& layer : layers) {
    for (size_t i = 0; i < layer.size(); ++i) vertices[layer[i]].x = i;
  }
  for (int sweep = 0; sweep < 8; ++sweep) {
    const bool down = sweep % 2 == 0;
    for (size_t l = 0; l < layers.size(); ++l) {
      std::vector<int>& layer = layers[down ? l : layers.size() - 1 - l];
      std::vector<std::pair<double, int>> keyed;
      for (int v : layer) {
        keyed.emplace_back(Mean(vertices, down ? vertices[v].above : vertices[v].below, vertices[v].x), v);
      }
      std::stable_sort(keyed.begin(), keyed.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
      for (size_t i = 0; i < layer.size(); ++i) {
        layer[i] = keyed[i].second;
        vertices[layer[i]].x = i;
      }
    }
  }
}

// Moves each vertex of a layer toward `wish`, keeping order and gaps. Clusters of vertices that touch move together to
// the mean of what their members wish (the pool-adjacent-violators algorithm on x minus the packed offset).
void Place(std::vector<Vertex>& vertices, const std::vector<int>& layer, const std::vector<double>& wish, double gap) {
  struct Cluster {
    double sum;
    int count;
    double mean() const { return sum / count; }
  };
  std::vector<double> offset(layer.size(), 0);
  for (size_t i = 1; i < layer.size(); ++i) {
    offset[i] = offset[i - 1] + (vertices[layer[i - 1]].width + vertices[layer[i]].width) / 2 + gap;
  }
  std::vector<Cluster> clusters;
  for (size_t i = 0; i < layer.size(); ++i) {
    clusters.push_back({wish[i] - offset[i], 1});
    while (clusters.size() > 1 && clusters[clusters.size() - 2].mean() > clusters.back().mean()) {
      clusters[clusters.size() - 2].sum += clusters.back().sum;
      clusters[clusters.size() - 2].count += clusters.back().count;
      clusters.pop_back();
    }
  }
  size_t i = 0;
  for (const Cluster& cluster : clusters) {
    for (int k = 0; k < cluster.count; ++k, ++i) vertices[layer[i]].x = cluster.mean() + offset[i];
  }
}

void Position(std::vector<Vertex>& vertices, const Layers& layers, double gap) {
  for (const auto& layer : layers) {  // packed and centred
    double width = -gap;
    for (int v : layer) width += vertices[v].width + gap;
    double x = -width / 2;
    for (int v : layer) {
      vertices[v].x = x + vertices[v].width / 2;
      x += vertices[v].width + gap;
    }
  }
  for (int sweep = 0; sweep < 12; ++sweep) {
    for (size_t l = 0; l < layers.size(); ++l) {
      const auto& layer = layers[sweep % 2 == 0 ? l : layers.size() - 1 - l];
      std::vector<double> wish;
      for (int v : layer) {
        const Vertex& vertex = vertices[v];
        const double above = Mean(vertices, vertex.above, vertex.x), below = Mean(vertices, vertex.below, vertex.x);
        wish.push_back(vertex.above.empty() ? below : vertex.below.empty() ? above : (above + below) / 2);
      }
      Place(vertices, layer, wish, gap);
    }
  }
}

}  // namespace

GraphLayout LayOut(std::vector<double> widths, const std::vector<std::pair<int, int>>& edges, double gap) {
  GraphLayout layout;
  const int count = widths.size();
  std::vector<Vertex> vertices(count);
  std::vector<int> nearest_consumer(count, -1);
  std::vector<bool> has_producer(count, false);
  for (int v = 0; v < count; ++v) vertices[v].width = widths[v];
  for (int v = 0; v < count; ++v) {  // topological order: producers are final
    for (const auto& [from, to] : edges) {
      if (to == v) vertices[v].layer = std::max(vertices[v].layer, vertices[from].layer + 1), has_producer[v] = true;
    }
  }
  // A node without producers stands right above the first that uses it.
  for (const auto& [from, to] : edges) {
    int& nearest = nearest_consumer[from];
    nearest = nearest < 0 ? vertices[to].layer : std::min(nearest, vertices[to].layer);
  }
  for (int v = 0; v < count; ++v) {
    if (!has_producer[v] && nearest_consumer[v] > 0) vertices[v].layer = nearest_consumer[v] - 1;
    layout.layers = std::max(layout.layers, vertices[v].layer + 1);
  }

  std::vector<std::vector<int>> paths;
  for (const auto& [from, to] : edges) {
    std::vector<int>& path = paths.emplace_back();
    path.push_back(from);
    for (int layer = vertices[from].layer + 1; layer < vertices[to].layer; ++layer) {
      path.push_back(vertices.size());
      vertices.push_back({.width = 8, .layer = layer});
    }
    path.push_back(to);
    for (size_t i = 1; i < path.size(); ++i) {
      vertices[path[i - 1]].below.push_back(path[i]);
      vertices[path[i]].above.push_back(path[i - 1]);
    }
  }
  Layers layers(layout.layers);
  for (int v = 0; v < vertices.size(); ++v) layers[vertices[v].layer].push_back(v);
  Order(vertices, layers);
  Position(vertices, layers, gap);

  double least = 0, greatest = 0;
  for (const Vertex& vertex : vertices) {
    least = std::min(least, vertex.x - vertex.width / 2);
    greatest = std::max(greatest, vertex.x + vertex.width / 2);
  }
  layout.width = greatest - least;
  for (int v = 0; v < count; ++v) layout.nodes.push_back({widths[v], vertices[v].x - least, vertices[v].layer});
  for (size_t e = 0; e < edges.size(); ++e) {
    GraphEdge& edge = layout.edges.emplace_back();
    edge.from = edges[e].first;
    edge.to = edges[e].second;
    for (int v : paths[e]) edge.x.push_back(vertices[v].x - least);
  }
  return layout;
}

}  // namespace millrace
