// One end of a measured channel, with node-datachannel (libdatachannel in Node.js). Commands and events are those of
// peer/src/line.rs, messages those of peer/src/message.rs without framing, marks of the send buffer those of peer/src/lib.rs.
import { createInterface } from 'node:readline'
import { cleanup, PeerConnection } from 'node-datachannel'

const [BULK, END, RECEIPT, ECHO, REPLY] = [0, 1, 2, 3, 4]
const SMALL_BYTES = 64
const SEND_BUFFER_BYTES = 1024 * 1024
const SEND_AGAIN_BYTES = 256 * 1024
const ASK_EVERY_BYTES = 64 * 1024

const emit = (event) => process.stdout.write(`${JSON.stringify(event)}\n`)
const now = () => process.hrtime.bigint()
const us = (ns) => Number(ns) / 1e3

let connection
let channel
let task = {}
let arrived = 0
let arrivedBytes = 0
let room = () => {}

function small(kind, first = 0n, second = 0n) {
  const message = Buffer.alloc(SMALL_BYTES, 0x5a)
  message[0] = kind
  message.writeBigUInt64LE(BigInt(first), 1)
  message.writeBigUInt64LE(BigInt(second), 9)
  return message
}

function connect() {
  connection = new PeerConnection('bench', { iceServers: [], bindAddress: '127.0.0.1' })
  connection.onLocalDescription((sdp, type) => emit({ event: 'signal', data: { sdp, type } }))
  connection.onLocalCandidate((candidate, mid) => emit({ event: 'signal', data: { candidate, mid } }))
  connection.onDataChannel(use)
}

function use(made) {
  channel = made
  channel.setBufferedAmountLowThreshold(SEND_AGAIN_BYTES)
  channel.onBufferedAmountLow(() => room())
  channel.onMessage(received)
  channel.onError((why) => emit({ event: 'failed', why }))
  const ping = () => task.opening && channel.sendMessageBinary(small(ECHO, now()))
  channel.onOpen(ping)
}

function received(message) {
  const at = now()
  switch (message[0]) {
    case BULK:
      if (message.readUInt32LE(1) !== arrived) emit({ event: 'failed', why: `message ${arrived} is missing` })
      arrived += 1
      arrivedBytes += message.length
      break
    case END:
      channel.sendMessageBinary(small(RECEIPT, arrived, arrivedBytes))
      arrived = arrivedBytes = 0
      break
    case ECHO:
      channel.sendMessageBinary(small(REPLY, message.readBigUInt64LE(1), at))
      break
    case RECEIPT: {
      const messages = Number(message.readBigUInt64LE(1))
      if (messages !== task.sent) emit({ event: 'failed', why: `${messages} messages of ${task.sent} arrived` })
      else emit({ event: 'sent', messages, bytes: Number(message.readBigUInt64LE(9)), us: us(at - task.begun) })
      task = {}
      break
    }
    case REPLY:
      replied(at, message.readBigUInt64LE(1), message.readBigUInt64LE(9))
      break
    default:
      emit({ event: 'failed', why: `a message of ${message.length} bytes is not one of ours` })
  }
}

function replied(at, sent, arrivedAt) {
  if (task.opening) {
    emit({ event: 'open', us: us(at - task.opening) })
    task = {}
  } else if (task.left !== undefined) {
    task.round_trip_us.push(us(at - sent))
    task.one_way_us.push(us(arrivedAt - sent))
    if (task.left > 0) {
      task.left -= 1
      channel.sendMessageBinary(small(ECHO, now()))
    } else {
      emit({ event: 'echoed', round_trip_us: task.round_trip_us, one_way_us: task.one_way_us })
      task = {}
    }
  }
}

async function send(size, messages, ms) {
  const message = Buffer.alloc(size, 0x5a)
  message.fill(0, 0, 17)
  message[0] = BULK
  task = { sent: 0, begun: now() }
  const until = performance.now() + ms
  let unasked = 0
  while (task.sent < messages && performance.now() < until) {
    message.writeUInt32LE(task.sent, 1)
    channel.sendMessageBinary(message)
    task.sent += 1
    unasked += size
    if (unasked >= ASK_EVERY_BYTES) {
      unasked = 0
      if (channel.bufferedAmount() >= SEND_BUFFER_BYTES) {
        await new Promise((go) => {
          room = go
          if (channel.bufferedAmount() <= SEND_AGAIN_BYTES) go()
        })
      } else {
        await new Promise(setImmediate)
      }
    }
  }
  channel.sendMessageBinary(small(END, task.sent))
}

async function obey(command) {
  switch (command.do) {
    case 'connect':
      task = { opening: now() }
      connect()
      use(connection.createDataChannel('bench'))
      break
    case 'signal':
      if (!connection) connect()
      if (command.data.sdp) connection.setRemoteDescription(command.data.sdp, command.data.type)
      else connection.addRemoteCandidate(command.data.candidate, command.data.mid)
      break
    case 'send':
      await send(command.size, command.messages, command.ms)
      break
    case 'echo':
      task = { left: command.count - 1, round_trip_us: [], one_way_us: [] }
      channel.sendMessageBinary(small(ECHO, now()))
      break
    case 'close':
      channel?.close()
      connection?.close()
      channel = connection = undefined
      emit({ event: 'closed' })
      break
    case 'quit':
      connection?.close()
      cleanup()
      process.exit(0)
  }
}

const lines = createInterface({ input: process.stdin })
lines.on('line', (line) => obey(JSON.parse(line)).catch((error) => emit({ event: 'failed', why: String(error) })))
lines.on('close', () => process.exit(0))
emit({ event: 'ready', session: null })
