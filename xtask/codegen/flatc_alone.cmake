# Read before flatbuffers' own CMakeLists.txt, whose default is to build tests and samples too.
set(FLATBUFFERS_BUILD_TESTS OFF CACHE BOOL "" FORCE)
