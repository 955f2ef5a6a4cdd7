#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include <tandem/client.hpp>

namespace tandem {

/// How an id generator takes its numbers.
struct IdGeneratorOptions {
  /// So many are taken from the server at once, for all threads of the object. From 1 to
  /// 1,000,000,000.
  std::int64_t block = 1000;
};

/// Numbers that nobody else is given, among all threads of all processes that use the name.
///
///     tandem::IdGenerator ids{redis, "orders", {.block = 1000}};
///     std::int64_t const id = ids.next();
///
/// They begin at 1. Take `Counter` where the numbers must have no gaps, at a round trip each.
///
/// Guarantee: no number is handed out twice, by whatever object, thread or process, also after a
///            fork; those of one object grow. With blocks of 1 and no fault they have no gaps, and
///            grow among all.
///
/// Not promised: an order among objects: each has a block of its own. That there are no gaps: what
/// is left of a block is lost with its object or process, and so is a block whose reply was lost.
/// Uniqueness after the server lost its data, or came back with older ones: set the key higher
/// (INCRBY) before it is used again.
///
/// Shape:   string `<name>`: the highest number that was taken, decimal text, as INCRBY and GET
///          know it; absent is 0. It does not expire. Stored layout since 0.1; changing it breaks
///          running processes of older versions.
/// Units:   from 1 to 2^63 - 1; lower ones when others have set the key so.
/// Cost:    1 command, INCRBY, and 1 round trip for each block; the others 0. No allocation.
/// Errors:  std::invalid_argument for an empty name or such a block. Unreachable, InDoubt, and
///          ServerError (WRONGTYPE, OOM, "ERR increment or decrement would overflow" ...): nothing
///          was handed out, and the call may be repeated, also after InDoubt.
/// Threads: safe from several, of which one asks and the others wait for its block; copies are
///          cheap and share it. The child of a fork takes blocks of its own.
/// Source:  src/id_generator.cpp; the "hi/lo" algorithm.
///
/// See examples/id_generator.cpp.
class IdGenerator {
 public:
  IdGenerator(Client client, std::string name, IdGeneratorOptions options = {});

  /// A number that was never handed out.
  [[nodiscard]] std::int64_t next();

  [[nodiscard]] std::string const& name() const noexcept;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace tandem
