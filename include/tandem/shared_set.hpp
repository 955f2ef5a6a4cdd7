#pragma once

#include <cstddef>
#include <initializer_list>
#include <string>
#include <utility>
#include <vector>

#include <tandem/client.hpp>
#include <tandem/core/codec.hpp>
#include <tandem/core/shared_key.hpp>

namespace tandem {

/// A set that all processes see: one Redis set of exactly this name.
///
///     tandem::SharedSet<std::string> online{redis, "online"};
///     if (online.insert("ann")) greet();
///
/// Every member acts on the server at once, atomically; nothing is kept in the process. Other
/// clients may use the same set: `SMEMBERS online`.
///
/// Not promised: an order. Writes are sent once: when the answer to one is lost, InDoubt says that
/// it may have happened.
///
/// Shape:   set `<name>`, members = `Codec<T>`; absent when it is empty.
/// Cost:    1 command in 1 round trip for every member.
/// Errors:  std::invalid_argument for an empty name. Unreachable, InDoubt; ServerError, whose code is
///          WRONGTYPE when the key is no set; CodecError, naming the set, for bytes that are no T:
///          they stay as they are.
/// Threads: safe from several. A moved-from set may only be assigned to and destroyed.
/// Source:  Redis documentation, "Sets".
/// See examples/shared_set.cpp.
template <class T>
class SharedSet {
  static_assert(Encodable<T> && Decodable<T>,
                "the member has no tandem::Codec that writes and reads it: specialise "
                "tandem::Codec<T>, see <tandem/core/codec.hpp>");

 public:
  /// No I/O yet.
  SharedSet(Client client, std::string name) : key_{std::move(client), std::move(name), "set"} {}

  [[nodiscard]] std::string const& name() const noexcept { return key_.name(); }

  /// Whether it was not there before.
  bool insert(T const& member) {
    return key_.write({"SADD", Codec<T>::encode(member)}).template as<bool>();
  }
  /// Whether it was there.
  bool erase(T const& member) {
    return key_.write({"SREM", Codec<T>::encode(member)}).template as<bool>();
  }

  /// How many were not there before. None: no command.
  std::size_t insert_many(std::vector<T> const& members) { return change("SADD", members); }
  /// How many were there.
  std::size_t erase_many(std::vector<T> const& members) { return change("SREM", members); }

  [[nodiscard]] bool contains(T const& member) const {
    return key_.read({"SISMEMBER", Codec<T>::encode(member)}).template as<bool>();
  }
  [[nodiscard]] std::size_t size() const { return key_.read({"SCARD"}).template as<std::size_t>(); }
  [[nodiscard]] bool empty() const { return size() == 0; }

  /// All of them, as they were at one moment. The server does nothing else meanwhile: for sets of up
  /// to some 100,000 members.
  [[nodiscard]] std::vector<T> members() const {
    auto const reply = key_.read({"SMEMBERS"});
    std::vector<T> out;
    out.reserve(reply.size());
    for (std::size_t i = 0; i < reply.size(); ++i) {
      out.push_back(key_.template decoded<T>(reply[i].template as<std::string_view>()));
    }
    return out;
  }

 private:
  std::size_t change(char const* command, std::vector<T> const& members) {
    if (members.empty()) return 0;
    std::vector<std::string> words;
    words.reserve(members.size());
    for (auto const& each : members) words.push_back(Codec<T>::encode(each));
    return key_.write({command}, words).template as<std::size_t>();
  }

  detail::SharedKey key_;
};

}  // namespace tandem
