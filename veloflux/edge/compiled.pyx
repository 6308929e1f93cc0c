# cython: language_level=3
"""What `pure.py` says, for a C compiler: the calls of the system without the interpreter between.

Only what is called for each client, read, write and wait is here, and it decides nothing. All but the
wait keep the interpreter's lock: the sockets do not block, and to hand it over costs more.
"""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.errno cimport EAGAIN, EINTR, errno
from libc.math cimport ceil

from socket import SocketType, socket

from twisted.internet.main import CONNECTION_LOST
from twisted.logger import Logger

from veloflux.edge import pure

cdef extern from "<sys/types.h>":
    ctypedef long ssize_t

cdef extern from "<sys/socket.h>" nogil:
    ssize_t recv(int fd, void *buffer, size_t size, int flags)
    ssize_t send(int fd, const void *data, size_t size, int flags)
    enum: MSG_NOSIGNAL
    enum: SOCK_CLOEXEC
    enum: SOCK_NONBLOCK
    enum: AF_INET
    enum: AF_INET6
    ctypedef unsigned int socklen_t
    cdef struct sockaddr:
        unsigned short sa_family
    int accept4(int fd, sockaddr *address, socklen_t *size, int flags)

cdef extern from "<netinet/in.h>" nogil:
    cdef struct in_addr:
        pass
    cdef struct in6_addr:
        pass
    cdef struct sockaddr_in:
        unsigned short sin_port
        in_addr sin_addr
    cdef struct sockaddr_in6:
        unsigned short sin6_port
        unsigned int sin6_flowinfo
        in6_addr sin6_addr
        unsigned int sin6_scope_id
    enum: INET6_ADDRSTRLEN

cdef extern from "<arpa/inet.h>" nogil:
    const char *inet_ntop(int family, const void *address, char *text, socklen_t size)
    unsigned short ntohs(unsigned short number)
    unsigned int ntohl(unsigned int number)

cdef extern from "<sys/epoll.h>" nogil:
    ctypedef union epoll_data_t:
        int fd
    cdef struct epoll_event:
        unsigned int events
        epoll_data_t data
    int epoll_wait(int poller, epoll_event *events, int most, int milliseconds)
    enum: EPOLLIN

cdef enum:
    READ_BYTES = 65536
    MOST_EVENTS = 256

# As many milliseconds as an int takes, and a day is enough.
cdef double LONGEST_S = 86400

cdef object _log = Logger()

# One read at a time: what came is copied out before anybody else is called.
cdef char arrived[READ_BYTES]


cdef class Direct:
    cdef object _socket
    # The socket's descriptor; -1 without one, or when it is another kind of socket, which has to be
    # asked itself.
    cdef int _fd
    cdef public bint is_clear
    cdef public object protocol

    def __cinit__(self, *_, **__):
        self._fd = -1
        self.is_clear = True

    @property
    def socket(self):
        if self._socket is None:
            raise AttributeError("there is no socket")
        return self._socket

    @socket.setter
    def socket(self, sock):
        self._socket = sock
        self._fd = sock.fileno() if type(sock) is socket or type(sock) is SocketType else -1

    @socket.deleter
    def socket(self):
        self._socket = None
        self._fd = -1

    def doRead(self):
        cdef ssize_t count
        if self._fd < 0:
            return pure.Direct.doRead(self)
        count = recv(self._fd, arrived, READ_BYTES, 0)
        if count > 0:
            return self.protocol.dataReceived(PyBytes_FromStringAndSize(arrived, count))
        if count == 0:
            return self._dataReceived(b"")
        return None if errno == EAGAIN else CONNECTION_LOST

    def write(self, data):
        cdef Py_buffer view
        cdef ssize_t sent
        if self._fd < 0 or not self.is_clear:
            pure.Direct.write(self, data)
            return
        PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
        sent = send(self._fd, view.buf, view.len, MSG_NOSIGNAL)
        PyBuffer_Release(&view)
        if sent < view.len:
            # Full, or broken: the queue waits for the first and reports the second.
            self.is_clear = False
            self.queue(data[max(sent, 0):])


cdef union Address:
    sockaddr any
    sockaddr_in four
    sockaddr_in6 six


def accept(listening):
    cdef Address address
    cdef socklen_t size = sizeof(address)
    cdef char text[INET6_ADDRSTRLEN]
    cdef int fd = accept4(listening.fileno(), &address.any, &size, SOCK_CLOEXEC | SOCK_NONBLOCK)
    if fd < 0:
        if errno == EAGAIN:
            return None
        raise OSError(errno, "accept4 failed")
    if address.any.sa_family == AF_INET6:
        inet_ntop(AF_INET6, &address.six.sin6_addr, text, INET6_ADDRSTRLEN)
        return fd, (
            text.decode("ascii"),
            ntohs(address.six.sin6_port),
            ntohl(address.six.sin6_flowinfo),
            address.six.sin6_scope_id,
        )
    inet_ntop(AF_INET, &address.four.sin_addr, text, INET6_ADDRSTRLEN)
    return fd, (text.decode("ascii"), ntohs(address.four.sin_port))


def dispatch(poller, dict selectables, double timeout, otherwise, disconnect):
    cdef epoll_event events[MOST_EVENTS]
    cdef int fd = poller.fileno()
    cdef int milliseconds = -1 if timeout < 0 else <int>ceil(min(timeout, LONGEST_S) * 1000)
    cdef int count, each
    with nogil:
        count = epoll_wait(fd, events, MOST_EVENTS, milliseconds)
    if count < 0 and errno != EINTR:
        raise OSError(errno, "epoll_wait failed")
    for each in range(count):
        fd = events[each].data.fd
        selectable = selectables.get(fd)
        if selectable is None:
            continue
        if events[each].events != EPOLLIN:
            otherwise(selectable, fd, events[each].events)
            continue
        try:
            why = selectable.doRead()
        except Exception as error:  # one connection's fault must not end the loop
            _log.failure("A connection failed while reading")
            why = error
        if why:
            disconnect(selectable, why, True)
