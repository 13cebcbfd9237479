// usage: node node_client.js ADDRESS PORT USER KEY answers|silent. A quiet session; says `here`, then its own error.
// Silent: the program blocks its event loop until a line comes on standard input.
const fs = require('fs');
const { Client } = require('ssh2');
const [host, port, username, key, mode] = process.argv.slice(2);
const client = new Client();
client.on('ready', () => {
  client.exec('echo here; exec sleep 3001', (error, stream) => {
    if (error) throw error;
    stream.on('data', (data) => {
      fs.writeSync(1, data);
      if (mode === 'silent') fs.readSync(0, Buffer.alloc(1));
    });
  });
});
client.on('close', () => {
  client.exec('true', (error) => { throw error; });
});
client.connect({ host, port: Number(port), username, privateKey: fs.readFileSync(key) });
