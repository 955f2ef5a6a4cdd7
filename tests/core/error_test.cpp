#include <stdexcept>
#include <string>
#include <type_traits>

#include <gtest/gtest.h>

#include <tandem/core/error.hpp>

namespace tandem {
namespace {

static_assert(std::is_base_of_v<std::runtime_error, Error>);
static_assert(!std::is_base_of_v<Error, std::invalid_argument>,
              "a broken precondition is no fault of the world");
static_assert(std::is_nothrow_copy_constructible_v<Unreachable>,
              "copied while another exception is on its way");

template <class Fault>
void expect_questions(Fault const& fault, bool in_doubt, bool poisons_connection) {
  Error const& as_caught = fault;
  EXPECT_EQ(as_caught.in_doubt(), in_doubt);
  EXPECT_EQ(as_caught.poisons_connection(), poisons_connection);
  EXPECT_STREQ(as_caught.what(), "text");
}

TEST(ErrorTest, UnreachableDidNotHappenAndEndsTheConnection) {
  expect_questions(Unreachable{"text"}, false, true);
}

TEST(ErrorTest, InDoubtMayHaveHappenedAndEndsTheConnection) {
  expect_questions(InDoubt{"text"}, true, true);
}

TEST(ErrorTest, FaultsThatTheServerAnsweredLeaveNoDoubtAndAConnection) {
  expect_questions(ServerError{"text"}, false, false);
  expect_questions(ShapeError{"text"}, false, false);
  expect_questions(CodecError{"text"}, false, false);
  expect_questions(LockLost{"text"}, false, false);
  expect_questions(Conflict{"text"}, false, false);
  expect_questions(Error{"text"}, false, false);
}

TEST(ErrorTest, ServerErrorHasItsCodeApartFromItsText) {
  ServerError const error{"WRONGTYPE Operation against a key", "HSET on stock"};
  EXPECT_EQ(error.code(), "WRONGTYPE");
  EXPECT_STREQ(error.what(), "HSET on stock: WRONGTYPE Operation against a key");
}

TEST(ErrorTest, ServerErrorWithoutAQuestionHasTheServersTextAlone) {
  EXPECT_STREQ((ServerError{"OOM command not allowed"}).what(), "OOM command not allowed");
}

TEST(ErrorTest, ServerErrorOfOneWordIsItsOwnCode) {
  EXPECT_EQ(ServerError{"LOADING"}.code(), "LOADING");
}

TEST(ErrorTest, ServerErrorWithoutTextHasNoCode) { EXPECT_EQ(ServerError{""}.code(), ""); }

}  // namespace
}  // namespace tandem
