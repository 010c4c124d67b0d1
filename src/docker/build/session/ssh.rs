//! An ssh agent of the user, lent to a build: it may list the keys and have something signed, and nothing else.

use std::{collections::BTreeMap, io, path::PathBuf, pin::Pin};

use bollard_buildkit_proto::moby::sshforward::v1::{
    BytesMessage, CheckAgentRequest, CheckAgentResponse, ssh_server::Ssh,
};
use futures_util::{Stream, StreamExt, stream};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
    sync::mpsc,
};
use tonic::{Request, Response, Status, Streaming};

/// The agent a mount asks for that names none.
const DEFAULT: &str = "default";
/// The metadata in which `BuildKit` names the agent (`sshforward.KeySSHID`).
const ID: &str = "buildkit.ssh.id";
/// `AGENT_MAX_LEN` of OpenSSH.
const LONGEST: usize = 256 * 1024;
/// Messages ahead of a slow reader.
const AHEAD: usize = 4;

/// Numbers of the agent's protocol (draft-miller-ssh-agent, 5.1).
const REQUEST_IDENTITIES: u8 = 11;
const SIGN_REQUEST: u8 = 13;
const FAILURE: [u8; 5] = [0, 0, 0, 1, 5];

/// The sockets of agents, by their ids.
pub(super) struct Agents(pub(super) BTreeMap<String, PathBuf>);

impl Agents {
    async fn connect(&self, id: &str) -> Result<UnixStream, Status> {
        let id = if id.is_empty() { DEFAULT } else { id };
        let path = self.0.get(id).ok_or_else(|| Status::not_found(format!("ssh agent {id} is not in ship.toml")))?;
        let connected = UnixStream::connect(path).await;
        connected.map_err(|error| Status::unavailable(format!("ssh agent {id} at {}: {error}", path.display())))
    }
}

#[tonic::async_trait]
impl Ssh for Agents {
    type ForwardAgentStream = Pin<Box<dyn Stream<Item = Result<BytesMessage, Status>> + Send>>;

    async fn check_agent(&self, request: Request<CheckAgentRequest>) -> Result<Response<CheckAgentResponse>, Status> {
        self.connect(&request.get_ref().id).await?;
        Ok(Response::new(CheckAgentResponse {}))
    }

    async fn forward_agent(
        &self,
        request: Request<Streaming<BytesMessage>>,
    ) -> Result<Response<Self::ForwardAgentStream>, Status> {
        let id = request.metadata().get(ID).and_then(|id| id.to_str().ok()).unwrap_or(DEFAULT);
        let agent = self.connect(id).await?;
        let asked = request.into_inner().filter_map(async |message| message.ok().map(|message| message.data));
        let (answers, mut answered) = mpsc::channel(AHEAD);
        tokio::spawn(lend(Box::pin(asked), agent, answers));
        let answers = stream::poll_fn(move |context| answered.poll_recv(context));
        Ok(Response::new(Box::pin(answers.map(|data| Ok(BytesMessage { data })))))
    }
}

/// Passes on what is asked, one question after the other, as the protocol is.
async fn lend(mut asked: impl Stream<Item = Vec<u8>> + Unpin, mut agent: UnixStream, answers: mpsc::Sender<Vec<u8>>) {
    let mut pending = Vec::new();
    while let Some(data) = asked.next().await {
        pending.extend_from_slice(&data);
        loop {
            let question = match take_message(&mut pending) {
                Ok(Some(question)) => question,
                Ok(None) => break,
                // Not the agent's protocol.
                Err(_) => return,
            };
            let answer = match question.get(4) {
                Some(&(REQUEST_IDENTITIES | SIGN_REQUEST)) => match ask(&mut agent, &question).await {
                    Ok(answer) => answer,
                    Err(_) => return,
                },
                // To add, remove or lock keys is the user's alone.
                Some(_) | None => FAILURE.to_vec(),
            };
            if answers.send(answer).await.is_err() {
                return;
            }
        }
    }
}

/// A whole message with its length in front, once it is there.
fn take_message(pending: &mut Vec<u8>) -> io::Result<Option<Vec<u8>>> {
    let Some(length) = pending.first_chunk::<4>().map(|length| u32::from_be_bytes(*length) as usize) else {
        return Ok(None);
    };
    if length > LONGEST {
        return Err(io::ErrorKind::InvalidData.into());
    }
    if pending.len() < 4 + length {
        return Ok(None);
    }
    Ok(Some(pending.drain(..4 + length).collect()))
}

async fn ask(agent: &mut UnixStream, question: &[u8]) -> io::Result<Vec<u8>> {
    agent.write_all(question).await?;
    let length = agent.read_u32().await?;
    if length as usize > LONGEST {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut answer = length.to_be_bytes().to_vec();
    answer.resize(4 + length as usize, 0);
    agent.read_exact(&mut answer[4..]).await?;
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u8, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(1 + body.len()).unwrap();
        [&length.to_be_bytes()[..], &[kind], body].concat()
    }

    /// What comes back for each piece of what is sent, from an agent that answers with the question's own kind plus one.
    async fn answers(pieces: Vec<Vec<u8>>) -> (Vec<Vec<u8>>, Vec<u8>) {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let agent = tokio::spawn(async move {
            let mut heard = Vec::new();
            while let Ok(length) = theirs.read_u32().await {
                let mut body = vec![0; length as usize];
                theirs.read_exact(&mut body).await.unwrap();
                heard.push(body[0]);
                theirs.write_all(&message(body[0] + 1, &body[1..])).await.unwrap();
            }
            heard
        });
        let (sender, mut receiver) = mpsc::channel(64);
        lend(stream::iter(pieces), ours, sender).await;
        let mut all = Vec::new();
        while let Some(answer) = receiver.recv().await {
            all.push(answer);
        }
        (all, agent.await.unwrap())
    }

    #[tokio::test]
    async fn a_build_may_list_and_sign_and_nothing_else() {
        // ADD_IDENTITY, REMOVE_ALL_IDENTITIES, LOCK, EXTENSION.
        let forbidden = [17, 19, 22, 27];
        let mut pieces: Vec<_> = forbidden.iter().map(|kind| message(*kind, b"key")).collect();
        pieces.extend([message(REQUEST_IDENTITIES, b""), message(SIGN_REQUEST, b"data")]);
        let (answers, heard) = answers(pieces).await;
        assert_eq!(heard, [REQUEST_IDENTITIES, SIGN_REQUEST]);
        assert!(answers[..4].iter().all(|answer| *answer == FAILURE), "{answers:?}");
        assert_eq!(answers[4..], [message(12, b""), message(14, b"data")]);
    }

    #[tokio::test]
    async fn messages_may_come_in_any_pieces() {
        let both = [message(REQUEST_IDENTITIES, b""), message(SIGN_REQUEST, b"data")].concat();
        let (answers, _) = answers(both.chunks(3).map(<[u8]>::to_vec).collect()).await;
        assert_eq!(answers, [message(12, b""), message(14, b"data")]);
    }

    #[tokio::test]
    async fn a_length_beyond_reason_ends_it() {
        let (answers, heard) = answers(vec![vec![0xff; 16], message(REQUEST_IDENTITIES, b"")]).await;
        assert!(answers.is_empty() && heard.is_empty());
    }
}
