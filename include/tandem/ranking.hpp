#pragma once

#include <cmath>
#include <cstddef>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <tandem/client.hpp>
#include <tandem/core/codec.hpp>
#include <tandem/core/shared_key.hpp>

namespace tandem {

namespace detail {

/// As Ranking, with members as bytes.
class RankingKey : public SharedKey {
 public:
  RankingKey(Client client, std::string name)
      : SharedKey{std::move(client), std::move(name), "ranking"} {}

  /// See src/lua/ranking/around.lua.
  [[nodiscard]] Reply around(std::string_view member, std::size_t above, std::size_t below) const;

  /// Throws std::invalid_argument for one that is no number.
  void require_score(double score) const;
};

}  // namespace detail

/// Who has most: members and their scores, one Redis sorted set of exactly this name.
///
///     tandem::Ranking<std::string> players{redis, "players"};
///     players.add("ann", 10);
///     for (auto const& each : players.top(3)) show(each.rank, each.member, each.score);
///
/// Every member acts on the server at once, atomically; nothing is kept in the process. Other
/// clients may use the same set: `ZREVRANGE players 0 2 WITHSCORES`.
///
/// Not promised: scores of more than 53 bits (they are doubles). Writes are sent once: when the
/// answer to one is lost, InDoubt says that it may have happened.
///
/// Shape:   sorted set `<name>`, members = `Codec<T>`; absent when it is empty.
/// Units:   ranks from 0, which has the highest score; of those with one score the one whose bytes
///          are greater comes first.
/// Cost:    1 command in 1 round trip for every member.
/// Errors:  std::invalid_argument for an empty name, or a score that is NaN. Unreachable, InDoubt;
///          ServerError, whose code is WRONGTYPE when the key is no sorted set; CodecError, naming
///          the ranking, for bytes that are no T: they stay as they are.
/// Threads: safe from several. A moved-from ranking may only be assigned to and destroyed.
/// Source:  src/lua/ranking/; Redis documentation, "Sorted sets".
/// See examples/ranking.cpp.
template <class T>
class Ranking {
  static_assert(Encodable<T> && Decodable<T>,
                "the member has no tandem::Codec that writes and reads it: specialise "
                "tandem::Codec<T>, see <tandem/core/codec.hpp>");

 public:
  /// Where a member stands.
  struct Place {
    std::size_t rank;
    T member;
    double score;
  };

  /// No I/O yet.
  Ranking(Client client, std::string name) : key_{std::move(client), std::move(name)} {}

  [[nodiscard]] std::string const& name() const noexcept { return key_.name(); }

  /// Adds `n`, which may be negative, to its score, or to 0 where it is not there; the new score.
  double add(T const& member, double n) {
    key_.require_score(n);
    return key_.write({"ZINCRBY", n, Codec<T>::encode(member)}).template as<double>();
  }
  void set(T const& member, double score) {
    key_.require_score(score);
    (void)key_.write({"ZADD", score, Codec<T>::encode(member)});
  }
  /// Whether it was there.
  bool erase(T const& member) {
    return key_.write({"ZREM", Codec<T>::encode(member)}).template as<bool>();
  }

  /// Empty when it is not there.
  [[nodiscard]] std::optional<double> score(T const& member) const {
    return key_.read({"ZSCORE", Codec<T>::encode(member)}).template as<std::optional<double>>();
  }
  [[nodiscard]] std::optional<std::size_t> rank(T const& member) const {
    return key_.read({"ZREVRANK", Codec<T>::encode(member)})
        .template as<std::optional<std::size_t>>();
  }
  [[nodiscard]] std::size_t size() const { return key_.read({"ZCARD"}).template as<std::size_t>(); }
  [[nodiscard]] bool empty() const { return size() == 0; }

  /// The best `n`, from the best on. None: no command.
  [[nodiscard]] std::vector<Place> top(std::size_t n) const {
    if (n == 0) return {};
    return places(key_.read({"ZREVRANGE", 0, n - 1, "WITHSCORES"}), 0, 0);
  }
  /// The member, those up to `n` ranks above it, and those up to `n` below it, from the best on;
  /// nobody when it is not there.
  [[nodiscard]] std::vector<Place> around(T const& member, std::size_t n) const {
    auto const reply = key_.around(Codec<T>::encode(member), n, n);
    if (reply.size() == 0) return {};
    return places(reply, 1, reply[0].template as<std::size_t>());
  }

 private:
  /// `from`: where they begin in the reply; `rank`: of the first.
  [[nodiscard]] std::vector<Place> places(Reply const& reply, std::size_t from,
                                          std::size_t rank) const {
    std::vector<Place> out;
    // With RESP3 a ZREVRANGE gives pairs, with RESP2 and from a script it does not.
    bool const pairs = reply.size() > from && reply[from].kind() == ReplyKind::array;
    for (auto i = from; i < reply.size(); i += pairs ? 1 : 2) {
      auto const member = pairs ? reply[i][0] : reply[i];
      auto const score = pairs ? reply[i][1] : reply[i + 1];
      out.push_back({rank++, key_.template decoded<T>(member.template as<std::string_view>()),
                     score.template as<double>()});
    }
    return out;
  }

  detail::RankingKey key_;
};

}  // namespace tandem
