#include "executor/graph/cluster_checks.h"

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/algorithm/container.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace millrace {
namespace {

struct Rule {
  absl::string_view name;
  absl::string_view why;
  absl::string_view fix;
};

// Names that nothing reads.
constexpr Rule kUnread[] = {
    {"NCCL_TIMEOUT", "neither NCCL nor PyTorch reads it", "network { collective_timeout: \"30m\" }"},
    {"NCCL_SOCKET_TIMEOUT", "neither NCCL nor PyTorch reads it", "network { collective_timeout: \"30m\" }"},
    {"NCCL_RINGS", "NCCL reads it no more", "leave it out: NCCL finds the rings"},
    {"NCCL_ASYNC_ERROR_HANDLING", "this spelling is retired", "TORCH_NCCL_ASYNC_ERROR_HANDLING"},
    {"NCCL_BLOCKING_WAIT", "this spelling is retired", "TORCH_NCCL_BLOCKING_WAIT"},
    {"TORCH_NCCL_AVOID_RECORD_STREAMS", "PyTorch reads it no more", "leave it out"},
    {"GLOO_IFACE", "Gloo reads GLOO_SOCKET_IFNAME", "network { interface: \"eth0\" }"},
};

// Names that a field of the cluster file stands for.
constexpr Rule kOwned[] = {
    {"NCCL_SOCKET_IFNAME", "the interface is said once, for NCCL and for Gloo", "network { interface: \"eth0\" }"},
    {"GLOO_SOCKET_IFNAME", "the interface is said once, for NCCL and for Gloo", "network { interface: \"eth0\" }"},
    {"NCCL_IB_DISABLE", "a field says it", "network { rdma: false }"},
    {"NCCL_IB_HCA", "a field says it, with names matched whole", "network { rdma_device: \"mlx5_0\" }"},
    {"NCCL_IB_TIMEOUT", "a field says it", "network { ib_timeout: 22 }"},
    {"MASTER_ADDR", "each gang has its own", "rendezvous { master_address: \"...\" }"},
    {"MASTER_PORT", "each gang has its own", "rendezvous { master_port: 29500 }"},
};

// Names that the executor sets for each process, so that results do not depend on the machine.
constexpr absl::string_view kSetByUs[] = {
    "PATH",
    "HOME",
    "TMPDIR",
    "LANG",
    "LC_ALL",
    "TZ",
    "RANK",
    "WORLD_SIZE",
    "LOCAL_RANK",
    "LOCAL_WORLD_SIZE",
    "GROUP_RANK",
    "PYTHONHASHSEED",
    "OMP_NUM_THREADS",
    "OMP_WAIT_POLICY",
    "MKL_CBWR",
    "LD_PRELOAD",
    "RUNFILES_DIR",
    "ATEN_CPU_CAPABILITY",
    "ONEDNN_MAX_CPU_ISA",
};

// Of NCCL's user guide: what a misspelt one is compared with.
const std::vector<std::string>& KnownNames() {
  static const std::vector<std::string>* const names = new std::vector<std::string>{
      "NCCL_ALGO",
      "NCCL_BUFFSIZE",
      "NCCL_CHECKS_DISABLE",
      "NCCL_COLLNET_ENABLE",
      "NCCL_COLLNET_NODE_THRESHOLD",
      "NCCL_COMM_BLOCKING",
      "NCCL_COMM_ID",
      "NCCL_CONF_FILE",
      "NCCL_CROSS_NIC",
      "NCCL_CUMEM_ENABLE",
      "NCCL_CUMEM_HOST_ENABLE",
      "NCCL_DEBUG",
      "NCCL_DEBUG_FILE",
      "NCCL_DEBUG_SUBSYS",
      "NCCL_DMABUF_ENABLE",
      "NCCL_GRAPH_MIXING_SUPPORT",
      "NCCL_GRAPH_REGISTER",
      "NCCL_IB_ADAPTIVE_ROUTING",
      "NCCL_IB_ADDR_FAMILY",
      "NCCL_IB_ADDR_RANGE",
      "NCCL_IB_CUDA_SUPPORT",
      "NCCL_IB_ECE_ENABLE",
      "NCCL_IB_FIFO_TC",
      "NCCL_IB_GID_INDEX",
      "NCCL_IB_MERGE_NICS",
      "NCCL_IB_MERGE_VFS",
      "NCCL_IB_PCI_RELAXED_ORDERING",
      "NCCL_IB_QPS_PER_CONNECTION",
      "NCCL_IB_RETRY_CNT",
      "NCCL_IB_RETURN_ASYNC_EVENTS",
      "NCCL_IB_ROCE_VERSION_NUM",
      "NCCL_IB_SL",
      "NCCL_IB_SPLIT_DATA_ON_QPS",
      "NCCL_IB_TC",
      "NCCL_IGNORE_CPU_AFFINITY",
      "NCCL_IGNORE_DISABLED_P2P",
      "NCCL_LAUNCH_MODE",
      "NCCL_LL128_BUFFSIZE",
      "NCCL_LL_BUFFSIZE",
      "NCCL_LOCAL_REGISTER",
      "NCCL_MAX_CTAS",
      "NCCL_MAX_NCHANNELS",
      "NCCL_MAX_P2P_NCHANNELS",
      "NCCL_MIN_CTAS",
      "NCCL_MIN_NCHANNELS",
      "NCCL_MIN_P2P_NCHANNELS",
      "NCCL_MNNVL_CLIQUE_ID",
      "NCCL_MNNVL_ENABLE",
      "NCCL_NET",
      "NCCL_NET_DISABLE_INTRA",
      "NCCL_NET_FORCE_MERGE",
      "NCCL_NET_GDR_C2C",
      "NCCL_NET_GDR_LEVEL",
      "NCCL_NET_GDR_READ",
      "NCCL_NET_MERGE_LEVEL",
      "NCCL_NET_OVERHEAD",
      "NCCL_NET_PLUGIN",
      "NCCL_NET_SHARED_BUFFERS",
      "NCCL_NET_SHARED_COMMS",
      "NCCL_NSOCKS_PERTHREAD",
      "NCCL_NTHREADS",
      "NCCL_NVB_DISABLE",
      "NCCL_NVLSTREE_MAX_CHUNKSIZE",
      "NCCL_NVLS_ENABLE",
      "NCCL_OOB_NET_ENABLE",
      "NCCL_P2P_DIRECT_DISABLE",
      "NCCL_P2P_DISABLE",
      "NCCL_P2P_LEVEL",
      "NCCL_P2P_NET_CHUNKSIZE",
      "NCCL_PROFILER_PLUGIN",
      "NCCL_PROTO",
      "NCCL_PXN_DISABLE",
      "NCCL_RAS_ADDR",
      "NCCL_RAS_ENABLE",
      "NCCL_RAS_TIMEOUT_FACTOR",
      "NCCL_RUNTIME_CONNECT",
      "NCCL_SET_STACK_SIZE",
      "NCCL_SET_THREAD_NAME",
      "NCCL_SHM_DISABLE",
      "NCCL_SHM_LOCALITY",
      "NCCL_SHM_USE_CUDA_MEMCPY",
      "NCCL_SINGLE_PROC_MEM_REG_ENABLE",
      "NCCL_SOCKET_FAMILY",
      "NCCL_SOCKET_NTHREADS",
      "NCCL_SOCKET_RETRY_CNT",
      "NCCL_SOCKET_RETRY_SLEEP_MSEC",
      "NCCL_TOPO_DUMP_FILE",
      "NCCL_TOPO_FILE",
      "NCCL_TUNER_PLUGIN",
      "NCCL_UID_STAGGER_RATE",
      "NCCL_UID_STAGGER_THRESHOLD",
      "NCCL_WORK_ARGS_BYTES",
      "NCCL_WORK_FIFO_BYTES",
  };
  return *names;
}

bool IsLoopback(absl::string_view address) {
  return address == "localhost" || address == "::1" || absl::StartsWith(address, "127.");
}

struct HostPlace {
  std::string pool;
  Location location;
};

void CheckHosts(const Node& cluster, const Sources& sources, Diagnostics& diagnostics) {
  std::map<std::string, HostPlace> seen;
  int num_hosts = 0;
  for (const Value* pool : cluster.All("pool")) {
    const std::string name(pool->message->Text("name"));
    const auto hosts = pool->message->All("host");
    num_hosts += static_cast<int>(hosts.size());
    if (hosts.empty()) {
      diagnostics.AddError(sources.At(pool->place), absl::StrCat("pool \"", name, "\" has no host"),
                           "ssh reaches machines that the file names",
                           "host { name: \"node0\" address: \"192.168.1.1\" }");
    }
    for (const Value* host : hosts) {
      const std::string host_name(host->message->Text("name"));
      const auto [it, is_new] = seen.emplace(host_name, HostPlace{name, sources.At(host->place)});
      // Within one pool equal names are merge keys, which are checked already.
      if (is_new || it->second.pool == name) continue;
      diagnostics.AddError(sources.At(host->place), absl::StrCat("host \"", host_name, "\" is in two pools"),
                           absl::StrCat("it would be given away twice; the other is \"", it->second.pool, "\" (line ",
                                        it->second.location.line, ")"),
                           "give each host to one pool");
    }
  }
  const Node* rendezvous = cluster.Child("rendezvous");
  if (num_hosts < 2 || rendezvous == nullptr) return;
  if (const std::string address(rendezvous->Text("master_address")); IsLoopback(address)) {
    diagnostics.AddError(sources.At(PlaceOf(*rendezvous, "master_address")),
                         absl::StrCat("master_address \"", address, "\" is each machine's own"),
                         "ranks on other hosts would look for the first rank on their own host",
                         "the address that the others reach it at, or leave it out");
  }
}

void CheckSlurm(const Node& cluster, const Sources& sources, Diagnostics& diagnostics) {
  const Node* storage = cluster.Child("storage");
  if (storage == nullptr || !absl::StartsWith(storage->Text("shared_path"), "/")) {
    diagnostics.AddError(sources.At(storage == nullptr ? cluster.place : PlaceOf(*storage, "shared_path")),
                         "a Slurm cluster has no shared_path", "jobs find their programs and inputs there, on any node",
                         "storage { shared_path: \"/lustre/you/millrace\" }");
  }
  for (const Value* pool : cluster.All("pool")) {
    for (const Value* host : pool->message->All("host")) {
      diagnostics.AddError(sources.At(host->place), "a pool of a Slurm cluster names a host", "Slurm chooses the nodes",
                           "partition, constraint and max_nodes narrow its choice");
    }
  }
}

// Fields of a pool that Slurm alone has.
void CheckWithoutSlurm(const Node& cluster, const Sources& sources, Diagnostics& diagnostics) {
  for (const Value* pool : cluster.All("pool")) {
    for (const absl::string_view field : {"partition", "max_nodes", "time_limit", "constraint"}) {
      if (pool->message->Find(field) == nullptr) continue;
      diagnostics.AddError(sources.At(PlaceOf(*pool->message, field)), absl::StrCat(field, " has no meaning here"),
                           "it is Slurm's, and the cluster has no `slurm { }`", "");
    }
  }
}

void CheckCaches(const Node& cluster, const Sources& sources, Diagnostics& diagnostics) {
  for (const Value* cache : cluster.All("cache")) {
    if (cache->message->Find("credentials_env") != nullptr && cache->message->Find("credentials_file") != nullptr) {
      diagnostics.AddError(sources.At(PlaceOf(*cache->message, "credentials_file")),
                           "credentials_env and credentials_file are both set", "a cache has one secret",
                           "leave one out");
    }
    const std::string url(cache->message->Text("url"));
    if (url.empty()) continue;  // reported: it must be set
    const Location location = sources.At(PlaceOf(*cache->message, "url"));
    const size_t scheme = absl::StartsWith(url, "http://") ? 7 : absl::StartsWith(url, "https://") ? 8 : 0;
    if (scheme == 0) {
      diagnostics.AddError(location, absl::StrCat("url \"", url, "\" is not that of an HTTP cache"),
                           "caches are spoken to over http:// or https://", "url: \"http://node0:8080\"");
    } else if (const std::string host = url.substr(scheme, url.find('/', scheme) - scheme);
               absl::StrContains(host, "@")) {
      // The secret is not said again.
      diagnostics.AddError(location, "the url holds a user or a password", "this file is shown, copied and committed",
                           "credentials_env: \"MILLRACE_CACHE_TOKEN\", or credentials_file");
    }
  }
}

}  // namespace

void CheckVariable(const Node& variable, const Sources& sources, Diagnostics& diagnostics) {
  const std::string name(variable.Text("name")), value(variable.Text("value"));
  const Location location = sources.At(variable.place);
  const auto named = [&](const Rule& rule) { return rule.name == name; };
  int64_t number = 0;
  const bool is_number = absl::SimpleAtoi(value, &number);
  if (name == "NCCL_IB_TIMEOUT" && is_number && (number < 0 || number > 31)) {
    diagnostics.AddError(location, absl::StrCat("NCCL_IB_TIMEOUT=", value, " is no number of seconds"),
                         absl::StrCat("it is an exponent of five bits, 4.096 us x 2^n for each of seven tries; of ",
                                      value, " eight bits count: ", number & 0xff),
                         "network { collective_timeout: \"30m\" } for slow collectives, network { ib_timeout: 22 } for "
                         "congested fabrics");
  } else if (name == "NCCL_IB_RETRY_CNT" && (!is_number || number < 0 || number > 7)) {
    diagnostics.AddError(location, absl::StrCat("NCCL_IB_RETRY_CNT=", value, " is out of range"),
                         "it is a count of three bits, and 7 already", "0 to 7, or leave it out");
  } else if (const Rule* rule = absl::c_find_if(kUnread, named); rule != std::end(kUnread)) {
    diagnostics.AddError(location, absl::StrCat(name, " does nothing"), std::string(rule->why), std::string(rule->fix));
  } else if (rule = absl::c_find_if(kOwned, named); rule != std::end(kOwned)) {
    diagnostics.AddError(location, absl::StrCat(name, " is not set here"), std::string(rule->why),
                         std::string(rule->fix));
  } else if (absl::c_linear_search(kSetByUs, name) || absl::StartsWith(name, "MILLRACE_")) {
    diagnostics.AddError(location, absl::StrCat(name, " is not set here"),
                         "the executor sets it for each process: results do not depend on it", "leave it out");
  } else if (absl::StrContains(name, "TOKEN") || absl::StrContains(name, "SECRET") ||
             absl::StrContains(name, "PASSWORD") || absl::StrContains(name, "CREDENTIAL")) {
    diagnostics.AddError(location, absl::StrCat(name, " looks like a secret"),
                         "this file is shown, copied and committed; so is the environment of a stage",
                         "let the stage's program read it from a file of the node");
  } else if (absl::StartsWith(name, "NCCL_") && !absl::c_linear_search(KnownNames(), name)) {
    const std::string closest = Closest(name, KnownNames());
    diagnostics.AddWarning(location, absl::StrCat(name, " is not in NCCL's user guide"),
                           "NCCL leaves unknown names aside in silence", closest);
  } else if (name.empty() || !(absl::ascii_isalpha(name[0]) || name[0] == '_') ||
             !absl::c_all_of(name, [](char c) { return absl::ascii_isalnum(c) || c == '_'; })) {
    diagnostics.AddError(location, absl::StrCat("\"", name, "\" is no name of a variable"),
                         "it has letters, digits and _, and begins with no digit", "");
  }
}

void CheckCluster(const Node& cluster, const Sources& sources, Diagnostics& diagnostics) {
  const bool ssh = cluster.Child("ssh") != nullptr;
  const bool slurm = cluster.Child("slurm") != nullptr;
  if (ssh) CheckHosts(cluster, sources, diagnostics);
  if (slurm) CheckSlurm(cluster, sources, diagnostics);
  if (!slurm) CheckWithoutSlurm(cluster, sources, diagnostics);
  CheckCaches(cluster, sources, diagnostics);
  if (const Node* environment = cluster.Child("environment"); environment != nullptr) {
    for (const Value* variable : environment->All("variable")) CheckVariable(*variable->message, sources, diagnostics);
  }
}

}  // namespace millrace
