#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

namespace tandem {

/// What a server is, and what about it endangers what tandem keeps there: the answer of
/// `Client::inspect`.
///
/// What the server does not tell (an ACL forbids INFO, or it is too old) is empty, and said among
/// the notes.
struct Inspection {
  std::string product{};  ///< `Redis` or `Valkey`, or what it calls itself
  std::string version{};  ///< of that product: `7.0.15`
  int protocol = 2;       ///< RESP2 or RESP3, as spoken over the connection
  std::string user{};     ///< as whom
  std::string key{};      ///< on which permissions were tried

  std::optional<long long> maxmemory{};  ///< bytes; 0: no limit, and nothing is evicted
  std::string eviction{};                ///< `maxmemory-policy`
  bool is_replica = false;
  int replicas = 0;         ///< connected to it
  std::string snapshots{};  ///< `save`: seconds and changes; empty: none; `?`: not told
  std::optional<bool> append_only_file{};

  /// The server's clock minus this machine's, and by how much that may be wrong (the round trip).
  std::chrono::microseconds clock_difference{0};
  std::chrono::microseconds clock_uncertainty{0};

  /// What tandem uses of it that not every server has: `RESP3`, `CLIENT TRACKING`.
  std::vector<std::string> uses{};

  /// Of the commands that tandem uses, those that the server does not let this user run on `key`.
  std::vector<std::string> denied{};

  /// What may break a promise of tandem's, each a sentence: strict mode refuses such a server.
  std::vector<std::string> dangers{};
  /// What is good to know: not told, or harmless by itself.
  std::vector<std::string> notes{};

  /// `Redis 7.0.15 at redis://db:6379: <danger>; <danger>`, or without dangers only what it is.
  [[nodiscard]] std::string line() const;

  std::string endpoint{};  ///< where it is, without any secret
};

}  // namespace tandem
