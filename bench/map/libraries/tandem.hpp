#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>

#include <tandem/cached_map.hpp>
#include <tandem/client.hpp>
#include <tandem/shared_map.hpp>

#include "map/library.hpp"

namespace bench::map {

using Shared = tandem::SharedMap<std::string, std::int64_t>;
using Cached = tandem::CachedMap<std::string, std::int64_t>;

inline tandem::Client client_of(std::string const& socket) {
  return tandem::Client{"unix://" + socket};
}

/// With a client of its own, when it is told of changes.
inline Cached cached(std::string const& socket, std::string const& map,
                     tandem::CacheOptions options = {}) {
  Cached out{client_of(socket), map, options};
  if (!out.await_told(std::chrono::steady_clock::now() + std::chrono::seconds{10}))
    throw std::runtime_error{"the cache is not told of changes"};
  return out;
}

inline std::int64_t present(std::optional<std::int64_t> value, std::string const& field) {
  if (!value) throw std::runtime_error{"there is no " + field};
  return *value;
}

inline std::int64_t one_more(std::optional<std::int64_t> value) { return value.value_or(0) + 1; }

/// `tandem::SharedMap`, with one `tandem::Client` for all callers, as all of tandem's have it.
class TandemMap final : public Library {
 public:
  explicit TandemMap(Task const& task) : map_{client_of(task.socket), task.map} {}

  [[nodiscard]] std::string text() const override {
    return "tandem::SharedMap, one tandem::Client for each process";
  }
  std::int64_t get(int /*caller*/, std::string const& field) override {
    return present(map_.get(field), field);
  }
  void set(int /*caller*/, std::string const& field, std::int64_t value) override {
    map_.set(field, value);
  }
  void update(int /*caller*/, std::string const& field) override {
    (void)map_.update(field, one_more);
  }

 private:
  Shared map_;
};

/// `tandem::CachedMap`, of which each `get` asks the server.
class TandemCachedMap final : public Library {
 public:
  explicit TandemCachedMap(Task const& task) : map_{cached(task.socket, task.map)} {}

  [[nodiscard]] std::string text() const override {
    return "tandem::CachedMap, whose get is get_fresh, one tandem::Client for each process";
  }
  std::int64_t get(int /*caller*/, std::string const& field) override {
    return present(map_.get_fresh(field), field);
  }
  void set(int /*caller*/, std::string const& field, std::int64_t value) override {
    map_.set(field, value);
  }
  void update(int /*caller*/, std::string const& field) override {
    (void)map_.update(field, one_more);
  }

 private:
  Cached map_;
};

}  // namespace bench::map
